// ring-fill: after a prompt, copies its first tokens (sinks) and its newest ones from the staging buffer into the ring's rows.
// Over lib/fill-row-16 or lib/fill-row-8. One workgroup per (row, kv head); lane = word of a row.
struct RingFill {
  sinks: u32,        // rows 0..sinks are the prompt's first
  newest: u32,       // tokens that stay in the ring
  tokens: u32,       // of the prompt
  ring: u32,         // slots that wrap
  capacity: u32,     // rows per kv head in the staging buffer
  sourcePlane: u32,  // words from keys to values there
  ringSlots: u32,    // sinks + ring
  ringPlane: u32,    // words from keys to values in the ring
  filled: u32,       // rows that stand in the staging buffer: the prompt's tokens, or fewer that went on
}
@group(0) @binding(0) var<uniform> params: RingFill;
@group(0) @binding(1) var<storage, read> source: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group.x;
  let head = group.y;
  if (index >= params.sinks + params.newest) { return; }
  var staged = index;
  var row = index;
  if (index >= params.sinks) {
    let back = params.newest + params.sinks - index; // tokens from here to the end
    staged = params.filled - back;
    row = params.ringSlots - params.ring + (params.tokens - back) % params.ring;
  }
  let start = (head * params.capacity + staged) * (D / 2u);
  let to = (head * params.ringSlots + row) * ringWords();
  fillRow(start, to, lane);
  fillRow(params.sourcePlane + start, params.ringPlane + to, lane);
}
