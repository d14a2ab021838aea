// klt-encode: keys in a calibrated basis, into it, out of it and to codes and back. Needs lib/bases, the private vector x, put and lifted.
// In it a channel of x has a variance of about 1, and counts as much as its group's energy says.

var<private> turned: array<f32, D>;

// x from k - mean into the basis, and back.
fn enterBasis(head: u32) {
  for (var row = 0u; row < info.headSize; row++) {
    var sum = 0.0;
    for (var pair = 0u; pair < info.headSize / 2u; pair++) { sum += dot(keyBasis(head, row, pair), vec2f(x[2u * pair], x[2u * pair + 1u])); }
    turned[row] = sum;
  }
  for (var c = 0u; c < info.headSize; c++) { x[c] = turned[c]; }
}
fn leaveBasis(head: u32) {
  for (var column = 0u; column < info.headSize; column++) {
    var sum = 0.0;
    for (var pair = 0u; pair < info.headSize / 2u; pair++) { sum += dot(queryBasis(head, column, pair), vec2f(x[2u * pair], x[2u * pair + 1u])); }
    turned[column] = sum;
  }
  for (var c = 0u; c < info.headSize; c++) { x[c] = turned[c]; }
}

fn kltLevel(value: f32, size: f32, bits: u32) -> f32 {
  let half = f32(1u << (bits - 1u));
  return clamp(floor(value / (size * groupStep(bits)) + half), 0.0, 2.0 * half - 1.0);
}

// Codes of x; returns the scale, which keeps <x, x^> = <x, x> of what is stored where channels count by their group's energy. Measured on
// SmolLM2, levels as far apart as all channels say, alike, give a smaller divergence than those of the stored ones or of the energy
// that counts; and letting the stored ones stand for those that are not, a larger one.
fn encodeKlt(place: Place, head: u32, f: Format) -> f32 {
  var energy = 0.0;
  for (var c = 0u; c < info.headSize; c++) { energy += x[c] * x[c]; }
  let size = max(sqrt(energy / f32(D)), 1e-8);
  var stored = 0.0;
  var along = 0.0;
  var word = 0u;
  var at = 0u;                                         // bits
  for (var c = 0u; c < info.headSize; c++) {
    let group = c / (D / 4u);
    let bits = groupBits(f, group);
    if (bits == 0u) { break; }
    let code = kltLevel(x[c], size, bits);
    let counts = groupEnergy(head, group) * x[c];
    stored += counts * x[c];
    along += counts * groupStep(bits) * (code - middle(bits));
    word |= u32(code) << (at % 32u);
    at += bits;
    if (at % 32u == 0u) { put(place, at / 32u - 1u, word); word = 0u; }
  }
  if (at % 32u != 0u) { put(place, at / 32u, word); }
  return nearestHalf(vec2f(stored / max(along, 1e-8))).x;
}

// x from codes, in the basis.
fn loadKlt(base: u32, stride: u32, f: Format) {
  let scale = unpack2x16float(lifted[base + f.keyScaleWord * stride]).x;
  var at = 0u;
  for (var c = 0u; c < info.headSize; c++) {
    let bits = groupBits(f, c / (D / 4u));
    let word = lifted[base + (at / 32u) * stride];
    let code = f32((word >> (at % 32u)) & ((1u << bits) - 1u));
    x[c] = scale * groupStep(bits) * (code - middle(bits)); // no bits: 0
    at += bits;
  }
}
