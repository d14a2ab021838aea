// lag-scores: tokens of one partition, judged by the spread of their channels on the scale of the partition after it (LagKV).
// One workgroup per (partition, kv head); lanes stride over channels, then over tokens. Over lib/prompt-slots or lib/ring-slots.
override D: u32;
override LAG: u32;  // tokens of a partition
override MOST: u32; // the most that one call meets

@group(0) @binding(1) var<storage, read> keys: array<Quad>;             // (G, rows, D/4)
@group(0) @binding(2) var<storage, read> values: array<Quad>;           // (G, rows, D/4)
@group(0) @binding(3) var<storage, read_write> importance: array<f32>;  // (G, slots): (rank in the partition + score) / tokens, in (0, 1]

const LARGE = 3e38;
var<workgroup> least: array<vec4f, D / 2>;   // of keys' channels, then of values'
var<workgroup> scale: array<vec4f, D / 2>;   // 1 / (greatest - least); 0 where they are the same
var<workgroup> spreads: array<vec2f, MOST>;  // of keys, of values; then (score, -)
alias Part = vec2f; // of lib/lanes

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let span = lagSpan(group.x, LAG);
  if (span.y == 0u) {
    for (var slot = span.x + lane; slot < numSlots(); slot += 64u) { importance[head * numSlots() + slot] = restScore(slot, LAG); }
    return;
  }
  for (var i = lane; i < 2u * quads(); i += 64u) {
    var low = vec4f(LARGE);
    var high = vec4f(-LARGE);
    for (var n = 0u; n < span.w; n++) {
      let x = channels(i, head, rowOf(span.z + n));
      low = min(low, x);
      high = max(high, x);
    }
    least[i] = low;
    scale[i] = select(vec4f(0.0), 1.0 / (high - low), high > low);
  }
  workgroupBarrier();

  var top = vec2f(0.0); // spreads are positive
  for (var n = lane; n < span.y; n += 64u) {
    let row = rowOf(span.x + n);
    let spread = vec2f(spreadOf(0u, head, row), spreadOf(D / 4u, head, row));
    spreads[n] = spread;
    top = max(top, spread);
  }
  top = highest(top, lane);
  var sum = vec2f(0.0);
  for (var n = lane; n < span.y; n += 64u) { sum += exp(spreads[n] - top); }
  sum = added(sum, lane);
  for (var n = lane; n < span.y; n += 64u) {
    let p = exp(spreads[n] - top) / sum;
    spreads[n].x = 0.5 * (p.x + p.y);
  }
  workgroupBarrier();

  for (var n = lane; n < span.y; n += 64u) {
    let score = spreads[n].x;
    var rank = 0u;
    for (var other = 0u; other < span.y; other++) {
      rank += select(0u, 1u, spreads[other].x < score || (spreads[other].x == score && other < n));
    }
    importance[head * numSlots() + rowOf(span.x + n)] = (f32(rank) + score) / f32(span.y);
  }
}

// D/4, as a bound that compilers cannot unroll.
fn quads() -> u32 { return min(D / 4u, arrayLength(&keys)); }

// Four channels of a row's key (i < D/4) or value.
fn channels(i: u32, head: u32, row: u32) -> vec4f {
  let base = (head * numRows() + row) * (D / 4u);
  if (i < D / 4u) { return unpackQuad(keys[base + i]); }
  return unpackQuad(values[base + i - D / 4u]);
}

// Deviation (unbiased) over the scaled channels of a key (first 0) or a value (first D/4).
fn spreadOf(first: u32, head: u32, row: u32) -> f32 {
  var mean = 0.0;
  for (var i = first; i < first + quads(); i++) { mean += dot((channels(i, head, row) - least[i]) * scale[i], vec4f(1.0 / f32(D))); }
  var squares = 0.0;
  for (var i = first; i < first + quads(); i++) {
    let away = (channels(i, head, row) - least[i]) * scale[i] - vec4f(mean);
    squares += dot(away, away);
  }
  return sqrt(squares / f32(D - 1u));
}
