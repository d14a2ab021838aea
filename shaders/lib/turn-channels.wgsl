// turn-channels: a Walsh-Hadamard transform of each BLOCK of the TURNED channels that a workgroup holds, orthonormal, its own inverse.
// All lanes call it together; what they wrote before, they read turned afterwards.
var<workgroup> channels: array<f32, TURNED>;

fn turnChannels(lane: u32) {
  workgroupBarrier();
  for (var half = 1u; half < BLOCK; half *= 2u) {
    for (var i = lane; i < TURNED / 2u; i += WG) {
      let a = (i / half) * 2u * half + i % half;
      let u = channels[a];
      let v = channels[a + half];
      channels[a] = u + v;
      channels[a + half] = u - v;
    }
    workgroupBarrier();
  }
  for (var c = lane; c < TURNED; c += WG) { channels[c] *= inverseSqrt(f32(BLOCK)); }
  workgroupBarrier();
}
