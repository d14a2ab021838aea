// bound-codes: bounds of keys in 8 bits: a sign, and seven bits of (1 + m/16) 2^e - 1, m four of them and e three, in units of a chunk's scale: steps of a
// sixteenth near 0, of less than a sixteenth of itself far from it. Rounded outward, so that a bound stays one.
const MOST_UNITS = 246.0; // the largest number is 247 units; one is left for rounding

// The codes of a word, lowest byte first, in units.
fn boundsOfWord(word: u32) -> vec4f {
  let bytes = (vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u);
  let units = bitcast<vec4f>(vec4u(0x3F800000u) + ((bytes & vec4u(127u)) << vec4u(19u))) - 1.0;
  return select(units, -units, bytes >= vec4u(128u));
}

// The nearest code to x, of those not above it, or not below it.
fn boundCode(x: f32, scale: f32, upper: bool) -> u32 {
  let away = (x < 0.0) != upper;
  let units = 1.0 + abs(x) / scale;
  let bits = bitcast<u32>(max(1.0, units * select(0.999999, 1.000001, away))) - 0x3F800000u; // f32 rounds the division, too
  let code = (bits >> 19u) + select(0u, 1u, away && (bits & 0x7FFFFu) != 0u);
  return min(code, 127u) | select(0u, 128u, x < 0.0);
}
