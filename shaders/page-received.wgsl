// page-received: what the token being decoded pays to the slots in pages (AGACC 2.2), added up by position, as slots move when pages are written anew.
// Logits are computed once more; the softmax's maximum and sum come from the partials of cache-attention. One workgroup per (kv head, unit of
// pages); lane = slot.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<uniform> units: vec4u;                     // x: units of a head in `partials`
@group(0) @binding(3) var<storage, read> table: array<u32>;          // with the means
@group(0) @binding(4) var<storage, read> rotated: array<f32>;        // (H, D)
@group(0) @binding(5) var<storage, read> partials: array<f32>;       // (H, units, D + 2): o, m, l
@group(0) @binding(6) var<storage, read_write> received: array<f32>; // (G, positions): sums of the mean over a group's heads
// lib/bases may follow, then the pool at POOL

var<workgroup> softmax: array<vec2f, GROUP>;                         // of every head: maximum, sum

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let sinks = min(info.sinks, step.firstPosition + 1u);
  let unit = unitOf(head, alwaysUnits() + group.y, sinks);
  if (unit.count == 0u) { return; }
  for (var h = lane; h < GROUP; h += WG) {
    let base = (head * GROUP + h) * units.x * (D + 2u) + D;
    var most = -1e30;
    for (var u = 0u; u < units.x; u++) { most = max(most, partials[base + u * (D + 2u)]); }
    var sum = 0.0;
    for (var u = 0u; u < units.x; u++) { sum += exp(partials[base + u * (D + 2u)] - most) * partials[base + u * (D + 2u) + 1u]; }
    softmax[h] = vec2f(most, sum);
  }
  loadQueries(unit, head, lane);
  let f = unit.format;
  let klt = KLT && isKlt(f);
  let coded = f.keyBits != 16u;
  let positions = arrayLength(&received) / G;
  for (var s = lane; s < unit.count; s += WG) {
    let spot = spotOf(unit, s, sinks);
    var score = array<f32, GROUP>();
    if (klt) { score = kltScores(f, spot); }
    if (isSparse(f)) { score = sparseScores(f, spot); }
    for (var quad = 0u; !klt && !isSparse(f) && quad < info.headSize / 4u; quad++) {
      let k = pageKeyQuad(f, spot, quad);
      for (var h = 0u; h < GROUP; h++) { score[h] += dot(q[h * QUADS + quad], k); }
    }
    var scale = vec2f(1.0, 0.0);
    if (coded && !isSparse(f)) { scale = keyScale(f, poolWord(spot.page, f.keyScaleWord * f.slots + spot.slot)); }
    var paid = 0.0;
    for (var h = 0u; h < GROUP; h++) {
      var t = score[h];
      if (coded) { t = scale.x * t + scale.y * sums[h].x + sums[h].y; }
      paid += exp(t - softmax[h].x) / (softmax[h].y * f32(GROUP));
    }
    let position = metaPosition(poolWord(spot.page, (f.words - 1u) * f.slots + spot.slot));
    if (position < positions) { received[head * positions + position] += paid; }
  }
}
