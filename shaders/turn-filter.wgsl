// turn-filter: RocketKV's first stage for one turn, which drops nothing: of the chunks before the turn's window the `keep` with the largest share of
// the window's attention, pooled by the largest over neighbours; of equals the earlier. A bit is set for each of the others: the turn's answer does not look
// at them. Slots stand by rising position, none missing, as where nothing is evicted. One workgroup per kv head. Sources: methods 2.8 (MT), 2.4.
struct Turn {
  stride: u32,         // positions of a kv head in `received`
  open: u32,           // position from which on nothing is left out
  reach: u32,          // neighbours to either side that share their scores
  keep: u32,           // chunks
}
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> reading: ReadInfo;
@group(0) @binding(2) var<uniform> turn: Turn;
@group(0) @binding(3) var<storage, read> table: array<u32>;
@group(0) @binding(4) var<storage, read> received: array<f32>;        // (G, stride): what positions got from the window's queries
@group(0) @binding(5) var<storage, read_write> scores: array<f32>;    // (H, 2 pairs): a group's first row becomes its chunks' best
@group(0) @binding(6) var<storage, read_write> selection: array<u32>;

var<workgroup> before: array<u32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let slots = min(table[T_HEADER + head], turn.open - min(turn.open, info.sinks)); // before the window
  let chunks = slots / reading.span;
  let base = head * GROUP * 2u * reading.pairs;
  let row = head * turn.stride + info.sinks;
  for (var i = lane; i < chunks; i += WG) {
    let first = i * reading.span;
    var best = 0.0;
    for (var s = max(first, turn.reach) - turn.reach; s < min(first + reading.span + turn.reach, slots); s++) { best = max(best, received[row + s]); }
    scores[base + i] = best;
  }
  let limit = threshold(base, chunks, min(turn.keep, chunks), lane);
  let mine = head * reading.stride;
  var equal = 0u;                                      // so far, of those at the threshold
  for (var block = 0u; block < (reading.left * 32u + WG - 1u) / WG; block++) {
    let i = block * WG + lane;
    var key = 0u;
    if (i < chunks) { key = bitcast<u32>(scores[base + i]); }
    before[lane] = select(0u, 1u, i < chunks && key > limit.x) | select(0u, 2u, i < chunks && key == limit.x);
    workgroupBarrier();
    var word = 0u;
    for (var n = 0u; n < WG; n++) {
      equal += before[n] >> 1u;
      let stays = before[n] == 1u || (before[n] == 2u && equal <= limit.y) || block * WG + n >= chunks;
      if (n / 32u == lane && !stays) { word |= 1u << (n % 32u); }
    }
    let at = block * (WG / 32u) + lane;
    if (lane < WG / 32u && at < reading.left) { selection[mine + S_HEADER + reading.keep + at] = word; }
    workgroupBarrier();
  }
  if (lane == 0u) { selection[mine + S_VALID] = 0u; }
}
