// nth-largest: the `want` largest of a row of positive numbers in `scores`, of which every lane reads those that it wrote: the threshold, digit by digit.
const DIGITS = 16u;
var<workgroup> bins: array<atomic<u32>, DIGITS>;
var<workgroup> found: vec2u;                           // the threshold's digits so far, and how many are wanted of those that share them

// Bits of the last number taken, and how many of just that are taken.
fn threshold(base: u32, chunks: u32, want: u32, lane: u32) -> vec2u {
  if (lane == 0u) { found = vec2u(0u, want); }
  for (var shift = 28i; shift >= 0; shift -= 4) {
    if (lane < DIGITS) { atomicStore(&bins[lane], 0u); }
    workgroupBarrier();
    let above = found.x;
    for (var i = lane; i < chunks; i += WG) {
      let key = bitcast<u32>(scores[base + i]) >> u32(shift);
      if (key >> 4u == above) { atomicAdd(&bins[key & 15u], 1u); }
    }
    workgroupBarrier();
    if (lane == 0u) {
      var left = found.y;
      var digit = 15u;
      while (digit > 0u && atomicLoad(&bins[digit]) < left) { left -= atomicLoad(&bins[digit]); digit--; }
      found = vec2u((above << 4u) | digit, left);
    }
    workgroupBarrier();
  }
  return found;
}
