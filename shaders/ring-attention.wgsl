// ring-attention: what the token being decoded pays to the ring's rows, taken into each row's mean over the queries since its own that were counted, or
// into the most that any of them paid.
// Logits are computed once more; the softmax's maximum and sum come from the partials of cache-attention. One workgroup per kv head; lane = row.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<uniform> units: vec4u;                     // x: units of a head in `partials`
@group(0) @binding(3) var<uniform> begun: vec4u;                     // x: position of the first token decoded; y: 1 for the most of any head; z: one query in so many counts
@group(0) @binding(4) var<storage, read> rotated: array<f32>;        // (H, D): queries after RoPE
@group(0) @binding(5) var<storage, read> ring: array<u32>;           // keys first: (G, ringSlots) rows
@group(0) @binding(6) var<storage, read> partials: array<f32>;       // (H, units, D + 2): o, m, l
@group(0) @binding(7) var<storage, read_write> received: array<f32>; // (G, ringSlots): mean over queries and the group's heads

var<workgroup> softmax: array<vec2f, GROUP>; // of every head: maximum, sum

// Four channels of the key whose row begins at `first`.
fn keyOf(first: u32, quad: u32) -> vec4f {
  if (info.ringBits == 16u) { return vec4f(unpack2x16float(ring[first + 2u * quad]), unpack2x16float(ring[first + 2u * quad + 1u])); }
  let scale = unpack2x16float(ring[first + D / 4u]);
  return scale.y + scale.x * codes4(ring[first + quad], 0u, 8u);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  for (var c = lane; c < TURNED; c += WG) { channels[c] = rotated[head * TURNED + c]; }
  if (info.ringBits == 8u) { turnChannels(lane); }       // as the keys are
  for (var h = lane; h < GROUP; h += WG) {
    let base = (head * GROUP + h) * units.x * (D + 2u) + D;
    var most = -1e30;
    for (var u = 0u; u < units.x; u++) { most = max(most, partials[base + u * (D + 2u)]); }
    var sum = 0.0;
    for (var u = 0u; u < units.x; u++) { sum += exp(partials[base + u * (D + 2u)] - most) * partials[base + u * (D + 2u) + 1u]; }
    softmax[h] = vec2f(most, sum);
  }
  workgroupBarrier();
  let length = info.ringSlots - info.sinks;
  for (var row = info.sinks + lane; row < info.ringSlots; row += WG) {
    let age = (step.firstPosition + length - (row - info.sinks)) % length; // of the row's token; 0 is the one being decoded
    if (step.firstPosition < info.sinks + age) { continue; }             // no token yet
    var dots = array<f32, GROUP>();
    let first = (head * info.ringSlots + row) * ringRowWords();
    for (var i = 0u; i < info.headSize / 4u; i++) {
      let k = keyOf(first, i);
      for (var h = 0u; h < GROUP; h++) {
        let at = h * D + 4u * i;
        dots[h] += dot(k, vec4f(channels[at], channels[at + 1u], channels[at + 2u], channels[at + 3u]));
      }
    }
    var paid = 0.0;
    var most = 0.0;
    for (var h = 0u; h < GROUP; h++) {
      let part = exp(dots[h] * inverseSqrt(f32(D)) - softmax[h].x) / softmax[h].y;
      paid += part / f32(GROUP);
      most = max(most, part);
    }
    let queries = min(age, step.firstPosition - begun.x) / begun.z + 1u;
    let at = head * info.ringSlots + row;
    let before = select(received[at], 0.0, queries == 1u); // of the token that the row held before
    received[at] = select(before + (paid - before) / f32(queries), max(before, most), begun.y == 1u);
  }
}
