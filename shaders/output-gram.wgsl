// output-gram: W_o^T W_o summed over a kv head's group of heads, from the rows of one shard; |W_o v|^2 of the group is then v^T gram v.
// One workgroup per (32 columns, 32 columns, kv head), 16 rows at a time; lane = one column by 16.
override D: u32;
override GROUP: u32;

@group(0) @binding(0) var<uniform> shape: vec4u;                      // x: rows of the shard; y: 16, as a bound that compilers do not unroll
@group(0) @binding(2) var<storage, read_write> gram: array<vec4f>;    // (G, D, D/4): added to

var<workgroup> left: array<vec4f, 128>;  // (16 rows, 8 quads)
var<workgroup> right: array<vec4f, 128>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.z;
  let column = lane / 2u;
  let firstQuad = (lane % 2u) * 4u;
  let loadRow = lane % 16u;
  let word = lane / 16u;
  var sums: array<vec4f, 4>;
  for (var h = 0u; h < GROUP; h++) {
    let unit = (head * GROUP + h) * (D / 32u);
    for (var first = 0u; first < shape.x; first += 16u) {
      let row = first + loadRow;
      let a = elements(unit + group.x, row, word);
      let b = elements(unit + group.y, row, word);
      workgroupBarrier();
      left[loadRow * 8u + word] = a.lo;
      left[loadRow * 8u + 4u + word] = a.hi;
      right[loadRow * 8u + word] = b.lo;
      right[loadRow * 8u + 4u + word] = b.hi;
      workgroupBarrier();
      for (var r = 0u; r < shape.y; r++) {
        let x = left[r * 8u + column / 4u][column % 4u];
        for (var q = 0u; q < 4u; q++) { sums[q] += x * right[r * 8u + firstQuad + q]; }
      }
    }
  }
  let at = (head * D + group.x * 32u + column) * (D / 4u) + group.y * 8u + firstQuad;
  for (var q = 0u; q < 4u; q++) { gram[at + q] += sums[q]; }
}

// Zeros past the shard's rows, where padding may be anything.
fn elements(unit: u32, row: u32, word: u32) -> Pair {
  let at = unit * WORDS * STRIDE + min(row, shape.x - 1u);
  if (row >= shape.x) { return Pair(vec4f(0.0), vec4f(0.0)); }
  return weightPair(at, word, weightHead(at));
}
