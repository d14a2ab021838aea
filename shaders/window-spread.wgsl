// window-spread: adds, per query head and slot, what a chunk's queries pay: the sums over queries of p, p^2 and -p log p, and how many there were.
// One workgroup per (256 slots, kv head); lane = 4 slots, 64 apart, over all rows of the chunk that count.
override H: u32;
override G: u32;
override D: u32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> range: QueryRange;
@group(0) @binding(2) var<storage, read> queries: array<vec4f>;        // (chunk, H, D/4), after RoPE
@group(0) @binding(3) var<storage, read> keys: array<Quad>;            // (G, capacity, D/4)
@group(0) @binding(4) var<storage, read> normalizers: array<f32>;      // (G, chunk H/G), by row
@group(0) @binding(5) var<storage, read_write> spread: array<vec4f>;   // (H, tokens)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let heads = H / G;
  let rows = numRows();
  let slots = vec4u(group.x * 256u + lane) + vec4u(0u, 64u, 128u, 192u);
  for (var firstRow = 0u; firstRow < rows; firstRow += 8u) {
    let logits = chunkLogits(firstRow, head, slots);
    for (var n = 0u; n < min(8u, rows - firstRow); n++) {
      let row = firstRow + n;
      let paid = logits[n] - normalizers[head * (arrayLength(&normalizers) / G) + row]; // log p; of a hidden key so low that p is 0
      for (var i = 0u; i < 4u; i++) {
        if (slots[i] >= range.tokens) { continue; }
        let p = exp(paid[i]);
        spread[(head * heads + row % heads) * range.tokens + slots[i]] += vec4f(p, p * p, select(0.0, -p * paid[i], p > 0.0), 1.0);
      }
    }
  }
}
