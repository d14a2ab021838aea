// half: rounding to f16 that is the same everywhere.

// The nearest f16 of each, as f32: packing it is then exact. pack2x16float itself may round either way, and on llvmpipe it does so
// differently from unpack2x16float(pack2x16float(x)), which compilers fold.
fn nearestHalf(x: vec2f) -> vec2f {
  let bits = bitcast<vec2u>(x);
  return bitcast<vec2f>((bits + 0xFFFu + ((bits >> vec2u(13u)) & vec2u(1u))) & vec2u(0xFFFFE000u));
}
