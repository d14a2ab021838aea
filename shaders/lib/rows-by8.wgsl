// rows-by8: as rows-plain, an eighth in each of 8 lanes, handed round by subgroup broadcasts; columns-by8 tells why. For lavapipe.
enable subgroups;

@group(0) @binding(2) var<storage, read> keys: array<vec2u>;    // (G, capacity, D / 4)
@group(0) @binding(3) var<storage, read> values: array<vec2u>;  // (G, capacity, D / 4)

struct Lane { @builtin(local_invocation_index) index: u32, @builtin(subgroup_invocation_id) inSubgroup: u32 }

/** Channels 4i..4i+3 of the 32 in part i. */
struct Channels { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f, g: vec4f, h: vec4f }

fn keyChannels(at: u32, lane: Lane) -> Channels {
  return handRound(keys[at + (lane.inSubgroup & 7u)]);
}

fn valueChannels(at: u32, lane: Lane) -> Channels {
  return handRound(values[at + (lane.inSubgroup & 7u)]);
}

fn handRound(pairs: vec2u) -> Channels {
  let mine = vec4f(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
  return Channels(
    subgroupBroadcast(mine, 0u), subgroupBroadcast(mine, 1u), subgroupBroadcast(mine, 2u), subgroupBroadcast(mine, 3u),
    subgroupBroadcast(mine, 4u), subgroupBroadcast(mine, 5u), subgroupBroadcast(mine, 6u), subgroupBroadcast(mine, 7u));
}
