// key-terms: what the condensed moments say of one key. The prompt and the ring share it, so that their scores compare.
// Needs D, HALF and the bindings keys, moments (as vec4f) and rotation (as vec4f: two pairs) of its kernel. D is a multiple of 8.

struct KeyTerms {
  logit: f32,      // condensed log-score: pooled mean and 2x2 blocks under the average rotation
  diversity: f32,  // (1 - cos(k, mean unit key))^3
}

fn keyTerms(row: u32, head: u32) -> KeyTerms {
  let groups = D / 8u; // of four pairs
  let record = head * (7u * groups + 1u);
  var linear = 0.0;
  var quadratic = 0.0;
  var near = 0.0;
  var keyEnergy = 0.0;
  var anchorEnergy = 0.0;
  for (var n = 0u; n < groups; n++) {
    let first = unpackQuad(keys[row + select(2u * n, n, HALF == 1u)]);
    let second = unpackQuad(keys[row + select(2u * n + 1u, n + groups, HALF == 1u)]);
    let kx = select(vec4f(first.xz, second.xz), first, HALF == 1u);
    let ky = select(vec4f(first.yw, second.yw), second, HALF == 1u);
    let ra = rotation[2u * n];
    let rb = rotation[2u * n + 1u];
    let cos = vec4f(ra.xz, rb.xz);
    let sin = vec4f(ra.yw, rb.yw);
    // q' . k = (R q) . k = q . (R^T k): turning the key back is cheaper than turning a matrix.
    let x = cos * kx + sin * ky;
    let y = cos * ky - sin * kx;
    let base = record + n;
    linear += dot(moments[base + MEAN_X * groups], x) + dot(moments[base + MEAN_Y * groups], y);
    quadratic += dot(moments[base + COV_XX * groups], x * x) + dot(moments[base + COV_YY * groups], y * y);
    quadratic += 2.0 * dot(moments[base + COV_XY * groups], x * y);
    let ax = moments[base + KEY_X * groups];
    let ay = moments[base + KEY_Y * groups];
    near += dot(ax, kx) + dot(ay, ky);
    keyEnergy += dot(kx, kx) + dot(ky, ky);
    anchorEnergy += dot(ax, ax) + dot(ay, ay);
  }
  let apart = 1.0 - near * inverseSqrt(max(keyEnergy * anchorEnergy, 1e-30));
  return KeyTerms(linear * inverseSqrt(f32(D)) + quadratic * (0.5 / f32(D)), apart * apart * apart);
}
