// query-transform: what attention needs of a query, once per token: the query over sqrt(D), the same rotated as coded slots are,
// the sum of the rotated one (it multiplies the codes' zero) and its product with the mean key. One workgroup per query head.
@group(0) @binding(0) var<storage, read> rotated: array<f32>;             // (H * D), after RoPE
@group(0) @binding(1) var<storage, read> means: array<u32>;               // (G, 2, D/2) f16 pairs
@group(0) @binding(2) var<storage, read_write> queries: array<f32>;       // (H, 2 D + 4): query, rotated query, sum, q . mean key

var<workgroup> q: array<f32, D>;
var<workgroup> sums: array<vec2f, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let out = head * (2u * D + 4u);
  for (var c = lane; c < D; c += WG) { q[c] = rotated[head * D + c] * inverseSqrt(f32(D)); }
  workgroupBarrier();
  var sum = vec2f(0.0);
  for (var c = lane; c < D; c += WG) {
    let block = (c / BLOCK) * BLOCK;
    var turned = 0.0;
    for (var j = 0u; j < BLOCK; j++) { turned += select(q[block + j], -q[block + j], (countOneBits(c & j) & 1u) == 1u); }
    turned *= inverseSqrt(f32(BLOCK));
    let mean = unpack2x16float(means[(head / GROUP) * D + c / 2u]);
    queries[out + c] = q[c];
    queries[out + D + c] = turned;
    sum += vec2f(turned, q[c] * select(mean.x, mean.y, (c & 1u) == 1u));
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    var all = vec2f(0.0);
    for (var i = 0u; i < WG; i++) { all += sums[i]; }
    queries[out + 2u * D] = all.x;
    queries[out + 2u * D + 1u] = all.y;
  }
}
