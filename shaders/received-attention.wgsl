// received-attention: adds what a chunk's queries pay to every slot to what the chunks before them paid.
// One workgroup per (256 slots, kv head); lane = 4 slots, 64 apart, over all rows of the chunk.
override H: u32;
override G: u32;
override D: u32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> range: QueryRange;
@group(0) @binding(2) var<storage, read> queries: array<vec4f>;        // (chunk, H, D/4), after RoPE
@group(0) @binding(3) var<storage, read> keys: array<Quad>;            // (G, capacity, D/4)
@group(0) @binding(4) var<storage, read> normalizers: array<f32>;      // (G, chunk H/G), by row
@group(0) @binding(5) var<storage, read_write> received: array<f32>;   // (G, tokens)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let heads = H / G;
  let rows = numRows();
  let slots = vec4u(group.x * 256u + lane) + vec4u(0u, 64u, 128u, 192u);
  var total = vec4f(0.0);
  for (var n = 0u; n < 4u; n++) {
    if (slots[n] < range.tokens) { total[n] = received[head * range.tokens + slots[n]]; }
  }
  var mean = vec4f(0.0); // over the group's heads, of the query at hand
  for (var firstRow = 0u; firstRow < rows; firstRow += 8u) {
    let logits = chunkLogits(firstRow, head, slots);
    for (var n = 0u; n < min(8u, rows - firstRow); n++) {
      let row = firstRow + n;
      let away = vec4u(positionOf(row)) - slots; // wraps around for hidden keys, which get nothing anyway
      let counts = (away >= vec4u(range.nearest)) & (away <= vec4u(range.farthest));
      let paid = select(vec4f(0.0), exp(logits[n] - normalizers[head * (arrayLength(&normalizers) / G) + row]), counts);
      if (range.reduce == 1u) {
        total = max(total, paid);
        continue;
      }
      mean += paid / f32(heads);
      if ((row + 1u) % heads != 0u) { continue; }
      if (range.reduce == 0u) { total = total * range.decay + mean; }
      if (range.reduce == 2u) { total += mean * mean; }
      if (range.reduce == 3u) { total = max(total, mean); }
      mean = vec4f(0.0);
    }
  }
  for (var n = 0u; n < 4u; n++) {
    if (slots[n] < range.tokens) { received[head * range.tokens + slots[n]] = total[n]; }
  }
}
