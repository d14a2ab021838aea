// prefill-attention: causal attention of a chunk's queries over the staging keys and values, flash style: softmax with a running maximum, f32 sums.
// A lane is one query row: (token, head of the group). A workgroup stays with one kv head, so its lanes read the same keys at the same time.
// The length const D stands in front: private arrays want it literal.
override WG: u32;
override G: u32;                 // kv heads
override GROUP: u32;             // query heads per kv head
override SCALE: f32;             // 1 / sqrt(D)
override MASKED: bool;           // a key whose first channel is f16's largest number is not there

const UNITS = D / 32u;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> queries: array<vec4f>;          // (chunk, H, D / 4)
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;     // (chunk, H, D / 4)

var<private> query: array<vec4f, D / 4u>;
var<private> sum: array<vec4f, D / 4u>;

fn score(row: u32, lane: Lane) -> f32 {
  var dots = vec4f();
  var dropped = false;
  for (var unit = 0u; unit < UNITS; unit++) {
    let k = keyChannels((row * UNITS + unit) * 8u, lane);
    if (MASKED && unit == 0u) { dropped = k.a.x == 65504.0; }
    let i = unit * 8u;
    dots += query[i] * k.a + query[i + 1u] * k.b + query[i + 2u] * k.c + query[i + 3u] * k.d;
    dots += query[i + 4u] * k.e + query[i + 5u] * k.f + query[i + 6u] * k.g + query[i + 7u] * k.h;
  }
  return select(dot(dots, vec4f(1.0)), -1e30, dropped);
}

fn addValue(row: u32, weight: f32, lane: Lane) {
  for (var unit = 0u; unit < UNITS; unit++) {
    let v = valueChannels((row * UNITS + unit) * 8u, lane);
    let i = unit * 8u;
    sum[i] += weight * v.a;
    sum[i + 1u] += weight * v.b;
    sum[i + 2u] += weight * v.c;
    sum[i + 3u] += weight * v.d;
    sum[i + 4u] += weight * v.e;
    sum[i + 5u] += weight * v.f;
    sum[i + 6u] += weight * v.g;
    sum[i + 7u] += weight * v.h;
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, lane: Lane) {
  let kvHead = group.y;
  let capacity = arrayLength(&keys) / (G * (D / 4u));
  let first = group.x * WG;
  let token = min((first + lane.index) / GROUP, step.tokens - 1u);
  let head = kvHead * GROUP + (first + lane.index) % GROUP;
  let at = (token * G * GROUP + head) * (D / 4u);
  for (var i = 0u; i < D / 4u; i++) {
    query[i] = queries[at + i] * SCALE;
    sum[i] = vec4f();
  }
  let before = step.context - step.tokens;
  let seen = before + token + 1u;  // keys this row attends to
  let last = before + min((first + WG - 1u) / GROUP, step.tokens - 1u);  // the last key any row of the workgroup attends to
  let base = kvHead * capacity;
  var top = -1e30;
  var total = 0.0;
  for (var key = 0u; key <= last; key += 2u) {
    let next = min(key + 1u, last);
    let scoreA = select(-1e30, score(base + key, lane), key < seen);
    let scoreB = select(-1e30, score(base + next, lane), key + 1u < seen);
    let newTop = max(top, max(scoreA, scoreB));
    let fade = exp(top - newTop);
    let weightA = exp(scoreA - newTop);
    let weightB = exp(scoreB - newTop);
    total = total * fade + weightA + weightB;
    top = newTop;
    for (var i = 0u; i < D / 4u; i++) { sum[i] *= fade; }
    addValue(base + key, weightA, lane);
    addValue(base + next, weightB, lane);
  }
  if ((first + lane.index) / GROUP >= step.tokens) { return; }
  for (var i = 0u; i < D / 4u; i++) { output[at + i] = sum[i] / total; }
}
