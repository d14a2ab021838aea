// head-signal: what the host needs to see where a token's heads look: their rotated queries, and the log of the sum of e^logit over all slots they attended
// to, joined from the partials of cache-attention. One workgroup per query head; lane = channel.
@group(0) @binding(0) var<uniform> units: vec4u;                    // x: units of a head in `partials`
@group(0) @binding(1) var<storage, read> rotated: array<f32>;       // (H, D): queries after RoPE
@group(0) @binding(2) var<storage, read> partials: array<f32>;      // (H, units, D + 2): o, m, l
@group(0) @binding(3) var<storage, read_write> signal: array<f32>;  // (H, D) queries, then (H) log-sum-exp

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  for (var c = lane; c < D; c += WG) { signal[head * D + c] = rotated[head * D + c]; }
  if (lane > 0u) { return; }
  let base = head * units.x * (D + 2u) + D;
  var most = -1e30;
  for (var u = 0u; u < units.x; u++) { most = max(most, partials[base + u * (D + 2u)]); }
  var sum = 0.0;
  for (var u = 0u; u < units.x; u++) { sum += exp(partials[base + u * (D + 2u)] - most) * partials[base + u * (D + 2u) + 1u]; }
  signal[G * GROUP * D + head] = most + log(sum);
}
