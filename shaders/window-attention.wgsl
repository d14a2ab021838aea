// window-attention: mean attention that every slot gets from the last queries of the prompt, over queries and heads of the group (SnapKV).
// One workgroup per (256 slots, kv head); lane = 4 slots, 64 apart.
override H: u32;
override G: u32;
override D: u32;

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> queries: array<vec4f>;        // (32, H, D/4), after RoPE
@group(0) @binding(2) var<storage, read> keys: array<Quad>;            // (G, capacity, D/4)
@group(0) @binding(3) var<storage, read> normalizers: array<f32>;      // (G, 32 H/G)
@group(0) @binding(4) var<storage, read_write> received: array<f32>;   // (G, tokens)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let slots = vec4u(group.x * 256u + lane) + vec4u(0u, 64u, 128u, 192u);
  var total = vec4f(0.0);
  for (var firstRow = 0u; firstRow < numRows(); firstRow += 8u) {
    let logits = windowLogits(firstRow, head, slots);
    for (var n = 0u; n < min(8u, numRows() - firstRow); n++) {
      total += exp(logits[n] - normalizers[head * 32u * (H / G) + firstRow + n]);
    }
  }
  for (var n = 0u; n < 4u; n++) {
    if (slots[n] < params.tokens) { received[head * params.tokens + slots[n]] = total[n] / f32(numRows()); }
  }
}
