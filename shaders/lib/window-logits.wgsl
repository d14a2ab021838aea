// window-logits: logits of 8 window queries against 4 slots, causal. Needs H, G, D, params, keys and queries of its kernel.
// A "row" counts a group's query heads and window queries: row = head in group * window + query.
const HIDDEN = -1e30; // a key after the query; exp of it is 0

fn numRows() -> u32 {
  return params.window * (H / G);
}

fn windowLogits(firstRow: u32, group: u32, slots: vec4u) -> array<vec4f, 8> {
  let quads = D / 4u;
  let keyRows = (group * params.capacity + min(slots, vec4u(params.tokens - 1u))) * quads;
  var start: array<u32, 8>;
  for (var n = 0u; n < 8u; n++) {
    let row = min(firstRow + n, numRows() - 1u);
    start[n] = ((row % params.window) * H + group * (H / G) + row / params.window) * quads;
  }
  var logits: array<vec4f, 8>;
  for (var i = 0u; i < quads; i++) {
    let k = loadQuads(keyRows + i);
    for (var n = 0u; n < 8u; n++) { logits[n] += k * queries[start[n] + i]; }
  }
  for (var n = 0u; n < 8u; n++) {
    let position = params.tokens - params.window + (firstRow + n) % params.window;
    logits[n] = select(vec4f(HIDDEN), logits[n] * inverseSqrt(f32(D)), slots <= vec4u(position));
  }
  return logits;
}
