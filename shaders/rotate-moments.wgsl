// rotate-moments: mean and covariance of every query head under the average rotation of the positions to come, ready for expected-attention:
// mean' / sqrt(D), and C' / (2D) folded into a triangle (k^T C k = sum over i <= j). One workgroup per (64 pairs, pair, head); lane = pair of columns.
override D: u32;
override HALF: u32; // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> pivot: array<f32>;              // (H, D)
@group(0) @binding(2) var<storage, read> sums: array<f32>;               // (H, D + 1, D)
@group(0) @binding(3) var<storage, read> rotation: array<vec2f>;         // (D/2): mean cos, mean sin
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;         // (H, D)
@group(0) @binding(5) var<storage, read_write> triangle: array<f32>;     // (H, D, D): [j][i] = 2 C'ij for i < j, C'ii, 0

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let b = group.x * 64u + lane;
  let a = group.y;
  let head = group.z;
  if (b >= D / 2u) { return; }
  let row = pairChannels(a);
  let column = pairChannels(b);
  let ra = rotation[a];
  let rb = rotation[b];
  if (a == 0u) {
    let m = vec2f(queryMean(head, column.x), queryMean(head, column.y)) * inverseSqrt(f32(D));
    mean[head * D + column.x] = rb.x * m.x - rb.y * m.y;
    mean[head * D + column.y] = rb.y * m.x + rb.x * m.y;
  }
  // WGSL matrices are given by columns: [[c, s], [-s, c]] is the rotation [c -s; s c].
  let left = mat2x2f(ra.x, ra.y, -ra.y, ra.x);
  let rightTransposed = mat2x2f(rb.x, -rb.y, rb.y, rb.x);
  let block = mat2x2f(
    queryCovariance(head, row.x, column.x), queryCovariance(head, row.y, column.x),
    queryCovariance(head, row.x, column.y), queryCovariance(head, row.y, column.y));
  let turned = left * block * rightTransposed * (0.5 / f32(D));
  store(head, row.x, column.x, turned[0].x);
  store(head, row.y, column.x, turned[0].y);
  store(head, row.x, column.y, turned[1].x);
  store(head, row.y, column.y, turned[1].y);
}

fn store(head: u32, i: u32, j: u32, value: f32) {
  triangle[(head * D + j) * D + i] = value * select(select(0.0, 2.0, i < j), 1.0, i == j);
}
