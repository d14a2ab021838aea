// query-normalizers: log of the softmax denominator of every query of a chunk, over all keys it sees, sinks included.
// One workgroup per (8 rows, kv head); lane = 4 slots of every 256.
override H: u32;
override G: u32;
override D: u32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> range: QueryRange;
@group(0) @binding(2) var<storage, read> queries: array<vec4f>;          // (chunk, H, D/4), after RoPE
@group(0) @binding(3) var<storage, read> keys: array<Quad>;              // (G, capacity, D/4)
@group(0) @binding(4) var<storage, read_write> normalizers: array<f32>;  // (G, chunk H/G), by row

var<workgroup> tops: array<array<f32, 64>, 8>;
var<workgroup> sums: array<array<f32, 64>, 8>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstRow = group.x * 8u;
  let head = group.y;
  let last = positionOf(min(firstRow + 7u, numRows() - 1u)); // the last key that any of the rows sees
  var top: array<f32, 8>;
  var sum: array<f32, 8>;
  for (var n = 0u; n < 8u; n++) { top[n] = HIDDEN; }
  for (var block = 0u; block <= last; block += 256u) {
    let logits = chunkLogits(firstRow, head, vec4u(block + lane) + vec4u(0u, 64u, 128u, 192u));
    for (var n = 0u; n < 8u; n++) {
      let l = logits[n];
      let higher = max(top[n], max(max(l.x, l.y), max(l.z, l.w)));
      // While a lane has seen only hidden keys its sum is wrong, but weighs exp(HIDDEN - top) = 0 below.
      sum[n] = sum[n] * exp(top[n] - higher) + dot(exp(l - higher), vec4f(1.0));
      top[n] = higher;
    }
  }
  for (var n = 0u; n < 8u; n++) {
    tops[n][lane] = top[n];
    sums[n][lane] = sum[n];
  }
  workgroupBarrier();
  if (lane >= 8u || firstRow + lane >= numRows()) { return; }
  var highest = HIDDEN;
  for (var n = 0u; n < 64u; n++) { highest = max(highest, tops[lane][n]); }
  var total = 0.0;
  for (var n = 0u; n < 64u; n++) { total += sums[lane][n] * exp(tops[lane][n] - highest); }
  normalizers[head * (arrayLength(&normalizers) / G) + firstRow + lane] = highest + log(total);
}
