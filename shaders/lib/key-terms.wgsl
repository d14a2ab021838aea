// key-terms: what the condensed moments say of one key. The prompt and the ring share it, so that their scores compare.
// Needs lib/four-pairs, one of lib/moments-f32 and lib/moments-f16, and the bindings moments (as Four) and rotation (as vec4f: two pairs) of its kernel.

struct KeyTerms {
  logit: f32,      // condensed log-score: pooled mean and 2x2 blocks under the average rotation
  diversity: f32,  // (1 - cos(k, mean unit key))^3
}

fn keyTerms(row: u32, head: u32) -> KeyTerms {
  let groups = D / 8u; // of four pairs
  let record = recordOf(head);
  var linear = 0.0;
  var quadratic = 0.0;
  var near = 0.0;
  var keyEnergy = 0.0;
  var anchorEnergy = 0.0;
  for (var n = 0u; n < groups; n++) {
    let key = fourPairs(row, n);
    let kx = key.x;
    let ky = key.y;
    let ra = rotation[2u * n];
    let rb = rotation[2u * n + 1u];
    let cos = vec4f(ra.xz, rb.xz);
    let sin = vec4f(ra.yw, rb.yw);
    // q' . k = (R q) . k = q . (R^T k): turning the key back is cheaper than turning a matrix.
    let x = cos * kx + sin * ky;
    let y = cos * ky - sin * kx;
    let base = record + n;
    linear += dot(unpackFour(moments[base + MEAN_X * groups]), x) + dot(unpackFour(moments[base + MEAN_Y * groups]), y);
    quadratic += dot(unpackFour(moments[base + COV_XX * groups]), x * x) + dot(unpackFour(moments[base + COV_YY * groups]), y * y);
    quadratic += 2.0 * dot(unpackFour(moments[base + COV_XY * groups]), x * y);
    let ax = unpackFour(moments[base + KEY_X * groups]);
    let ay = unpackFour(moments[base + KEY_Y * groups]);
    near += dot(ax, kx) + dot(ay, ky);
    keyEnergy += dot(kx, kx) + dot(ky, ky);
    anchorEnergy += dot(ax, ax) + dot(ay, ay);
  }
  let apart = 1.0 - near * inverseSqrt(max(keyEnergy * anchorEnergy, 1e-30));
  return KeyTerms(linear * inverseSqrt(f32(D)) + quadratic * (0.5 / f32(D)), apart * apart * apart);
}
