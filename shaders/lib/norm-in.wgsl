// norm-in: the RMS norm of a product's input. The input already stands times the gain; as the product is linear, its sums need one factor more,
// 1 / sqrt(mean of squares + EPSILON), from the squares that norm-out left.
override EPSILON: f32;

@group(0) @binding(5) var<storage, read> squares: array<f32>;  // sums of squares of the input before the gain, one a workgroup that wrote it

fn inputScale() -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < arrayLength(&squares); i++) { sum += squares[i]; }
  return inverseSqrt(sum / f32(UNITS * 32u) + EPSILON);
}

fn passOn(column: u32, value: f32) {}

fn passEnergy(lane: u32, group: u32) {}
