// select-chunks: the chunks of a kv head that are read: the `keep` with most of the softmax of their scores over all tokens of the list, on
// average over the group, so that its query heads agree; of equals the earlier. Chunks are written by rising index. Also keeps count of what is reading. One workgroup per kv head. Sources: methods 2.8 (steps 4, 5), 2.13, 2.14.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> reading: ReadInfo;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> rotated: array<f32>;         // (H, D)
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;    // (H, 2 pairs): logits; the group's first row becomes its mean share
@group(0) @binding(5) var<storage, read_write> selection: array<u32>;

alias Part = f32; // of lib/lanes
var<workgroup> before: array<u32, WG>;

// The mean share of every chunk, by lanes in turn: each lane reads later what it wrote itself.
fn shareOut(head: u32, chunks: u32, length: u32, lane: u32) {
  let row = 2u * reading.pairs;
  var softmax: array<vec2f, GROUP>;
  for (var h = 0u; h < GROUP; h++) {
    let base = (head * GROUP + h) * row;
    var top = -1e30;
    for (var i = lane; i < chunks; i += WG) { top = max(top, scores[base + i]); }
    top = highest(top, lane);
    var sum = 0.0;
    for (var i = lane; i < chunks; i += WG) { sum += f32(min(reading.span, length - i * reading.span)) * exp(scores[base + i] - top); }
    softmax[h] = vec2f(top, added(sum, lane));
  }
  for (var i = lane; i < chunks; i += WG) {
    var share = 0.0;
    for (var h = 0u; h < GROUP; h++) { share += exp(scores[(head * GROUP + h) * row + i] - softmax[h].x) / softmax[h].y; }
    scores[head * GROUP * row + i] = select(max(share / f32(GROUP), 1e-30), 0.0, isLeftOut(head, i)); // below all others
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let reused = isReused(head, lane);
  let length = table[T_HEADER + head];
  let chunks = select((length + reading.span - 1u) / reading.span, 0u, reused);
  var open = vec2f(f32(chunks));                       // chunks that the turn's filter left, and those whose bounds were read
  if (reading.left > 0u) {
    open = vec2f(0.0);
    for (var i = lane; i < chunks; i += WG) {
      let out = isLeftOut(head, i);
      open += vec2f(select(1.0, 0.0, out), select(1.0, 0.0, out && isLeftOut(head, i ^ 1u)));
    }
    open = vec2f(added(open.x, lane), added(open.y, lane));
  }
  let want = min(reading.keep, u32(open.x));
  let base = head * GROUP * 2u * reading.pairs;
  shareOut(head, chunks, length, lane);
  let limit = threshold(base, chunks, want, lane);
  let mine = head * reading.stride;
  var taken = 0u;
  var equal = 0u;                                      // so far, of those at the threshold
  for (var row = 0u; row < (2u * reading.pairs + WG - 1u) / WG; row++) {
    let i = row * WG + lane;
    var key = 0u;
    if (i < chunks) { key = bitcast<u32>(scores[base + i]); }
    let over = i < chunks && key > limit.x;
    let even = i < chunks && key == limit.x;
    before[lane] = select(0u, 1u, over) | select(0u, 0x10000u, even);
    workgroupBarrier();
    var sum = 0u;
    var all = 0u;
    for (var n = 0u; n < WG; n++) { if (n == lane) { sum = all; } all += before[n]; }
    workgroupBarrier();
    let ties = equal + (sum >> 16u);
    let place = taken + (sum & 0xFFFFu) + min(ties, limit.y) - min(equal, limit.y);
    if (over || (even && ties < limit.y)) { selection[mine + S_HEADER + place] = i; }
    taken += (all & 0xFFFFu) + min(equal + (all >> 16u), limit.y) - min(equal, limit.y);
    equal += all >> 16u;
  }
  storageBarrier();
  workgroupBarrier();
  if (!reused) { for (var i = lane; i < GROUP * D; i += WG) { selection[reading.anchors + head * GROUP * D + i] = bitcast<u32>(rotated[head * GROUP * D + i]); } }
  if (lane != 0u) { return; }
  if (!reused) {
    var slots = want * reading.span;
    if (want > 0u && selection[mine + S_HEADER + want - 1u] == chunks - 1u) { slots -= chunks * reading.span - length; }
    selection[mine + S_SLOTS] = slots;
    selection[mine + S_SPAN] = reading.span;
    selection[mine + S_STRIDE] = reading.stride;
    selection[mine + S_VALID] = 1u;
    selection[mine + S_SCORED] += u32(open.y);
    selection[mine + S_CHOSEN] += 1u;
  }
  selection[mine + S_STEPS] += 1u;
  selection[mine + S_READ] += selection[mine + S_SLOTS];
}
