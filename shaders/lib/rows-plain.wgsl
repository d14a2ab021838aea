// rows-plain: 32 channels of a key or value row of f16 pairs, each lane reading all of them at the same address. For hardware adapters.
@group(0) @binding(2) var<storage, read> keys: array<vec2u>;    // (G, capacity, D / 4)
@group(0) @binding(3) var<storage, read> values: array<vec2u>;  // (G, capacity, D / 4)

struct Lane { @builtin(local_invocation_index) index: u32 }

/** Channels 4i..4i+3 of the 32 in part i. */
struct Channels { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f, g: vec4f, h: vec4f }

fn four(pairs: vec2u) -> vec4f {
  return vec4f(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}

fn keyChannels(at: u32, lane: Lane) -> Channels {
  return Channels(
    four(keys[at]), four(keys[at + 1u]), four(keys[at + 2u]), four(keys[at + 3u]),
    four(keys[at + 4u]), four(keys[at + 5u]), four(keys[at + 6u]), four(keys[at + 7u]));
}

fn valueChannels(at: u32, lane: Lane) -> Channels {
  return Channels(
    four(values[at]), four(values[at + 1u]), four(values[at + 2u]), four(values[at + 3u]),
    four(values[at + 4u]), four(values[at + 5u]), four(values[at + 6u]), four(values[at + 7u]));
}
