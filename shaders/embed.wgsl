// embed: rows of the embedding, one per token, unpacked into the hidden states. A lane takes 32 columns; ids of other shards are left to theirs.
override WG: u32;
override UNITS: u32;             // columns / 32
override FIRST_ROW: u32;         // id of the shard's first row
override ROWS: u32;
override ID_FROM: u32;           // PROMPT: ids[step.firstRow + t], CHUNK: ids[t], PREVIOUS: ids[step.index - 1], what the sampler wrote last

const PROMPT = 0u;
const CHUNK = 1u;
const PREVIOUS = 2u;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> ids: array<u32>;              // (tokens)
@group(0) @binding(3) var<storage, read_write> hidden: array<vec4f>;   // (rows, columns / 4), rows from step.firstRow

fn idOf(token: u32) -> u32 {
  if (ID_FROM == PREVIOUS) { return ids[step.index - 1u]; }
  return ids[token + select(0u, step.firstRow, ID_FROM == PROMPT)];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let unit = group.x * WG + lane;
  let id = idOf(group.y);
  if (unit >= UNITS || id < FIRST_ROW || id >= FIRST_ROW + ROWS) { return; }
  let first = unit * WORDS * STRIDE + id - FIRST_ROW;
  let head = weightHead(first);
  let at = ((step.firstRow + group.y) * UNITS + unit) * 8u;
  for (var word = 0u; word < 4u; word++) {
    let pair = weightPair(first, word, head);
    hidden[at + word] = pair.lo;
    hidden[at + 4u + word] = pair.hi;
  }
}
