// klt-attention: queries and scores where keys are coded in a calibrated basis. Needs cache-attention's q and sums, lib/bases, and the pool.

// q becomes the query's matrix times q, times the step of each channel's codes; with the sums that go with it (keyScale says which).
// Loops are bounded by a uniform where unrolled ones would take compilers seconds.
fn turnQueries(f: Format, head: u32, lane: u32) {
  var turned: array<vec4f, (GROUP * QUADS + WG - 1u) / WG>;
  for (var i = lane; i < GROUP * QUADS; i += WG) {
    let h = i / QUADS;
    let quad = i % QUADS;
    var sum = vec4f(0.0);
    for (var c = 0u; c < info.headSize; c++) {
      sum += q[h * QUADS + c / 4u][c % 4u] * vec4f(queryBasis(head, c, 2u * quad), queryBasis(head, c, 2u * quad + 1u));
    }
    turned[i / WG] = sum * groupStep(groupBits(f, quad / (QUADS / 4u)));
  }
  var both = vec2f(0.0);
  if (lane < GROUP) {
    for (var quad = 0u; quad < info.headSize / 4u; quad++) { both.y += dot(q[lane * QUADS + quad], meanQuad(head, quad)); }
  }
  workgroupBarrier();
  for (var i = lane; i < GROUP * QUADS; i += WG) { q[i] = turned[i / WG]; }
  workgroupBarrier();
  if (lane < GROUP) {
    for (var quad = 0u; quad < info.headSize / 4u; quad++) {
      both.x += dot(q[lane * QUADS + quad], vec4f(middle(groupBits(f, quad / (QUADS / 4u)))));
    }
    sums[lane] = both;
  }
  workgroupBarrier();
}

// Products of a slot's codes with every turned query. Groups that are not stored add nothing.
fn kltScores(f: Format, spot: Spot) -> array<f32, GROUP> {
  var score = array<f32, GROUP>();
  var at = 0u;                                         // bits
  for (var group = 0u; group < 4u; group++) {
    let bits = groupBits(f, group);
    if (bits == 0u) { break; }                         // sorted by falling variance: none after it is stored either
    for (var j = 0u; j < info.headSize / 16u; j++) {
      let k = codes4(poolWord(spot.page, (at / 32u) * f.slots + spot.slot), at % 32u, bits);
      for (var h = 0u; h < GROUP; h++) { score[h] += dot(q[h * QUADS + group * (QUADS / 4u) + j], k); }
      at += 4u * bits;
    }
  }
  return score;
}
