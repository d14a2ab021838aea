// query-moments: adds a chunk's pre-RoPE queries to the sums that give mean and covariance per query head.
// Sums are taken around a pivot (the first query past the sinks), so that a mean much larger than the spread does not cancel.
// One workgroup per (64 columns, 16 rows of the matrix, head); lane = column. Only columns from the row block on: the matrix is symmetric.
override D: u32;       // head size
override STRIDE: u32;  // floats of one row of qkv

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> params: ScoreParams;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;             // (chunk, STRIDE), queries first
@group(0) @binding(3) var<storage, read> pivot: array<f32>;           // (H, D)
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;      // (H, D + 1, D): products, then plain sums

const ROWS = 16u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * 64u + lane;
  let firstRow = group.y * ROWS;
  let head = group.z;
  if (column >= D || column < firstRow) { return; }

  let first = max(params.sinks, step.firstRow) - step.firstRow; // chunk rows before it are sinks
  let columnPivot = pivot[head * D + column];
  var rowPivot: array<vec4f, 4>;
  for (var i = 0u; i < 4u; i++) {
    let p = head * D + firstRow + 4u * i; // rows past D (head sizes not a multiple of 16) read on and are not stored
    rowPivot[i] = vec4f(pivot[p], pivot[p + 1u], pivot[p + 2u], pivot[p + 3u]);
  }
  var products: array<vec4f, 4>;
  var plain = 0.0;
  for (var t = first; t < step.tokens; t++) {
    let base = t * STRIDE + head * D;
    let value = qkv[base + column] - columnPivot;
    plain += value;
    for (var i = 0u; i < 4u; i++) {
      let q = base + firstRow + 4u * i;
      products[i] += (vec4f(qkv[q], qkv[q + 1u], qkv[q + 2u], qkv[q + 3u]) - rowPivot[i]) * value;
    }
  }

  let matrix = head * (D + 1u) * D;
  if (firstRow == 0u) { sums[matrix + D * D + column] += plain; }
  for (var i = 0u; i < min(ROWS, D - firstRow); i++) {
    sums[matrix + (firstRow + i) * D + column] += products[i / 4u][i % 4u];
  }
}
