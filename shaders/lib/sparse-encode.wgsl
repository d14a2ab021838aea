// sparse-encode: sparse slots to codes and back. Needs the private vector x, put, rangeOf and lifted of encode-slots.

// The largest channels of x under a mask; of two alike the later. The grid is that of the whole vector, whatever is left out of it, so that a kept
// channel's code is the one it has with all channels stored. By range even where others go by deviation: what is largest would be cut off.
// stays: x comes from such codes, whose grid (`scales`) is kept, so that the codes are too. Returns what the scale word stores.
fn encodeSparse(place: Place, firstWord: u32, f: Format, bits: u32, stays: bool, scales: u32) -> vec2f {
  var scale = unpack2x16float(scales);
  if (!stays) { scale = rangeOf(bits); }
  let inverse = select(0.0, 1.0 / scale.x, scale.x > 0.0);
  var at = 32u * MASK_WORDS;                           // bits
  var mask = 0u;
  var word = 0u;
  for (var c = 0u; c < info.headSize; c++) {
    var above = 0u;
    for (var j = 0u; j < info.headSize; j++) {
      if (abs(x[j]) > abs(x[c]) || (abs(x[j]) == abs(x[c]) && j > c)) { above++; }
    }
    if (above < keptOf(f)) {
      mask |= 1u << (c % 32u);
      word |= u32(clamp(floor((x[c] - scale.y) * inverse + 0.5), 0.0, f32((1u << bits) - 1u))) << (at % 32u);
      at += bits;
      if (at % 32u == 0u) { put(place, firstWord + at / 32u - 1u, word); word = 0u; }
    }
    if (c % 32u == 31u) { put(place, firstWord + c / 32u, mask); mask = 0u; }
  }
  return scale;
}

// x from codes: less its mean, 0 where a channel was left out.
fn loadSparse(base: u32, stride: u32, bits: u32, scale: vec2f) {
  var at = 32u * MASK_WORDS;
  for (var c = 0u; c < info.headSize; c++) {
    x[c] = 0.0;
    if (((lifted[base + (c / 32u) * stride] >> (c % 32u)) & 1u) == 0u) { continue; }
    x[c] = scale.y + scale.x * f32((lifted[base + (at / 32u) * stride] >> (at % 32u)) & ((1u << bits) - 1u));
    at += bits;
  }
}
