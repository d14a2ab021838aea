// chunk-logits: logits of 8 query rows of a prompt's chunk against 4 slots, causal. Needs H, G, D, step, range, keys and queries of its kernel.
// A "row" counts a group's heads query by query (query = row / heads), from the first query of the chunk that is in range.
struct QueryRange {
  tokens: u32,      // of the prompt: slots that are looked at
  capacity: u32,    // rows per head of the key buffer
  firstQuery: u32,  // position from which on queries count
  nearest: u32,     // positions between a slot and the queries that count for it, both ends included
  farthest: u32,
  decay: f32,       // weight of a query over that of the next one
  reduce: u32,      // over queries: 0 sum of the group's mean, 1 largest of any head, 2 sum of the mean's square, 3 largest of the mean
  quads: u32,       // D/4 again: as the bound of a loop, so that compilers do not unroll it
}

const HIDDEN = -1e30; // a key after the query; exp of it is 0

fn skippedQueries() -> u32 {
  return max(range.firstQuery, step.firstPosition) - step.firstPosition;
}

fn numRows() -> u32 {
  return (step.tokens - skippedQueries()) * (H / G);
}

fn positionOf(row: u32) -> u32 {
  return step.firstPosition + skippedQueries() + row / (H / G);
}

fn chunkLogits(firstRow: u32, group: u32, slots: vec4u) -> array<vec4f, 8> {
  let quads = D / 4u;
  let heads = H / G;
  let keyRows = (group * range.capacity + min(slots, vec4u(step.context - 1u))) * quads;
  var start: array<u32, 8>;
  for (var n = 0u; n < 8u; n++) {
    let row = min(firstRow + n, numRows() - 1u);
    start[n] = ((skippedQueries() + row / heads) * H + group * heads + row % heads) * quads;
  }
  var logits: array<vec4f, 8>;
  for (var i = 0u; i < range.quads; i++) {
    let k = loadQuads(keyRows + i);
    for (var n = 0u; n < 8u; n++) { logits[n] += k * queries[start[n] + i]; }
  }
  for (var n = 0u; n < 8u; n++) {
    logits[n] = select(vec4f(HIDDEN), logits[n] * inverseSqrt(f32(D)), slots <= vec4u(positionOf(firstRow + n)));
  }
  return logits;
}
