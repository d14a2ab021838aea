// chunk-scores: what a query can score at most with any key of a chunk, from the chunk's bounds. Quest: over all channels, each query by its own
// signs: never below the true logit. Hybrid sparse attention (RocketKV): over the r channels where the group's |q| add up to most, the bound
// chosen by the sign of the group's sum, under a temperature that stands in for the channels left out. Sources: methods 2.14, 2.8.
// One workgroup per (kv head, WG pairs of chunks); lane = pair.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> reading: ReadInfo;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> rotated: array<f32>;         // (H, D): queries after RoPE
@group(0) @binding(4) var<storage, read> bounds: array<u32>;          // see chunk-bounds
@group(0) @binding(5) var<storage, read> selection: array<u32>;
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;    // (H, 2 pairs): logits

var<workgroup> q: array<f32, GROUP * D>;
var<workgroup> size: array<f32, D>;                    // sum of |q| over the group
var<workgroup> positive: array<u32, D>;                // 1: the sum of q over the group is above 0
var<workgroup> chosen: array<u32, D>;                  // channels that are looked at
var<workgroup> temperature: array<f32, GROUP>;

// The `channels` largest channels, the lower index first where they are alike.
fn chooseChannels(lane: u32) {
  for (var c = lane; c < info.headSize; c += WG) {
    var sum = 0.0;
    var sizes = 0.0;
    for (var h = 0u; h < GROUP; h++) { sum += q[h * D + c]; sizes += abs(q[h * D + c]); }
    size[c] = sizes;
    positive[c] = select(0u, 1u, sum > 0.0);
  }
  workgroupBarrier();
  for (var c = lane; c < info.headSize; c += WG) {
    var rank = 0u;
    for (var other = 0u; other < info.headSize; other++) {
      if (size[other] > size[c] || (size[other] == size[c] && other < c)) { rank++; }
    }
    if (rank < reading.channels) { chosen[rank] = c; }
  }
  workgroupBarrier();
  if (lane < GROUP) {
    var seen = 0.0;
    var all = 1e-30;
    for (var i = 0u; i < reading.channels; i++) { seen += abs(q[lane * D + chosen[i]]); }
    for (var c = 0u; c < info.headSize; c++) { all += abs(q[lane * D + c]); }
    temperature[lane] = sqrt(f32(D) * max(seen / all, 1e-6));
  }
  workgroupBarrier();
}

// The logits of chunks that the turn's filter left out: next to nothing of any softmax.
fn hide(query: u32, pair: u32, out: vec2<bool>) {
  let at = query * 2u * reading.pairs + 2u * pair;
  if (out.x) { scores[at] = -1e30; }
  if (out.y) { scores[at + 1u] = -1e30; }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  for (var i = lane; i < GROUP * D; i += WG) { q[i] = rotated[head * GROUP * D + i]; }
  let reused = isReused(head, lane);
  if (reading.sparse == 1u) { chooseChannels(lane); }
  let chunks = (table[T_HEADER + head] + reading.span - 1u) / reading.span;
  let pair = group.y * WG + lane;
  if (reused || pair >= reading.pairs || 2u * pair >= chunks) { return; }
  let out = vec2<bool>(isLeftOut(head, 2u * pair), isLeftOut(head, 2u * pair + 1u));
  if (all(out)) {
    for (var h = 0u; h < GROUP; h++) { hide(head * GROUP + h, pair, out); }
    return;
  }
  var sum = array<vec2f, GROUP>();
  if (reading.sparse == 1u) {
    let base = head * 2u * D * reading.pairs + pair;
    for (var i = 0u; i < reading.channels; i++) {
      let c = chosen[i];
      let k = unpack2x16float(bounds[base + (positive[c] * D + c) * reading.pairs]);
      for (var h = 0u; h < GROUP; h++) { sum[h] += q[h * D + c] * k; }
    }
  } else {
    let base = head * (D + 1u) * reading.pairs + pair;
    for (var c = 0u; c < info.headSize; c++) {
      let k = boundsOfWord(bounds[base + c * reading.pairs]);
      for (var h = 0u; h < GROUP; h++) { sum[h] += q[h * D + c] * select(k.xz, k.yw, q[h * D + c] > 0.0); }
    }
    let scale = unpack2x16float(bounds[base + D * reading.pairs]);
    for (var h = 0u; h < GROUP; h++) { sum[h] *= scale; }
  }
  for (var h = 0u; h < GROUP; h++) {
    let scaled = sum[h] / select(sqrt(f32(D)), temperature[h], reading.sparse == 1u);
    let at = (head * GROUP + h) * 2u * reading.pairs + 2u * pair;
    scores[at] = scaled.x;
    scores[at + 1u] = scaled.y;
    hide(head * GROUP + h, pair, out);
  }
}
