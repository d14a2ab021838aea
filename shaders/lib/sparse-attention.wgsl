// sparse-attention: scores and values of sparse slots, read in place. Needs cache-attention's q, sums and meanQuad, and the pool.

// Sums that go with queries as they are: q . mean key.
fn centreQueries(head: u32, lane: u32) {
  if (lane < GROUP) {
    var product = 0.0;
    for (var i = 0u; i < info.headSize / 4u; i++) { product += dot(q[lane * QUADS + i], meanQuad(head, i)); }
    sums[lane] = vec2f(0.0, product);
  }
  workgroupBarrier();
}

// Products of a slot's kept channels with every query.
fn sparseScores(f: Format, spot: Spot) -> array<f32, GROUP> {
  let scale = keyScale(f, poolWord(spot.page, f.keyScaleWord * f.slots + spot.slot));
  var score = array<f32, GROUP>();
  var at = 32u * MASK_WORDS;                           // bits
  for (var quad = 0u; quad < info.headSize / 4u; quad++) {
    let mask = poolWord(spot.page, (quad / 8u) * f.slots + spot.slot) >> (4u * quad % 32u);
    let k = sparseChannels(f.slots, spot, 0u, at, mask, f.keyBits, scale);
    at += f.keyBits * countOneBits(mask & 15u);
    for (var h = 0u; h < GROUP; h++) { score[h] += dot(q[h * QUADS + quad], k); }
  }
  return score;
}

// Four channels of a slot's value less its mean: a kept channel's code stands where so many are kept before it.
fn sparseQuad(f: Format, spot: Spot, quad: u32) -> vec4f {
  let base = f.keyWords * f.slots;
  let shift = 4u * quad % 32u;
  let mask = poolWord(spot.page, base + (quad / 8u) * f.slots + spot.slot);
  var kept = countOneBits(mask & ((1u << shift) - 1u));
  for (var w = 0u; w + 1u < MASK_WORDS; w++) { kept += select(0u, countOneBits(poolWord(spot.page, base + w * f.slots + spot.slot)), w < quad / 8u); }
  let scale = valueScale(f, poolWord(spot.page, f.valueScaleWord * f.slots + spot.slot));
  return sparseChannels(f.slots, spot, base, 32u * MASK_WORDS + kept * f.valueBits, mask >> shift, f.valueBits, scale);
}

// Four channels whose mask begins at its lowest bit, the first kept one's code `first` bits from `base`; 0 for the others. Without branches,
// which take compilers for software adapters half a minute: where nothing is kept, a word of another vector's is read and left.
fn sparseChannels(slots: u32, spot: Spot, base: u32, first: u32, mask: u32, bits: u32, scale: vec2f) -> vec4f {
  let kept = (vec4u(mask) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(1u);
  let at = vec4u(first) + bits * vec4u(0u, kept.x, kept.x + kept.y, kept.x + kept.y + kept.z);
  var words: vec4u;
  for (var c = 0u; c < 4u; c++) { words[c] = poolWord(spot.page, base + (at[c] / 32u) * slots + spot.slot); }
  let codes = vec4f((words >> (at % vec4u(32u))) & vec4u((1u << bits) - 1u));
  return vec4f(kept) * (vec4f(scale.y) + scale.x * codes);
}
