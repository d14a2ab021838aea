// importance: the score of every slot past the sinks from its parts, and the normalisers that later tokens are scored with.
// One workgroup per kv head; lanes stride over slots. Sinks get no score: their entries are left alone.
override H: u32;
override G: u32;
override D: u32;
override ENSEMBLE: u32;    // 1: parts of EA, SnapKV and diversity, each with sum 1; 0: (EA + epsilon) |v|
override EXPECTED: f32;    // the parts
override WINDOW: f32;
override DIVERSITY: f32;
override VALUE_NORM: u32;  // 0 leaves |v| (and epsilon) out of the latter
override REACH: u32;       // max-pool of the window's attention: neighbours to either side

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> logits: array<f32>;            // (H, tokens)
@group(0) @binding(2) var<storage, read> norms: array<vec2f>;           // (G, tokens): 1/|k|, |v|
@group(0) @binding(3) var<storage, read> terms: array<vec2f>;           // (G, tokens): diversity, condensed logit
@group(0) @binding(4) var<storage, read> received: array<f32>;          // (G, tokens): window attention
@group(0) @binding(5) var<storage, read_write> moments: array<f32>;     // (G, 7 D/2 + 4): writes the first two scalars
@group(0) @binding(6) var<storage, read_write> importance: array<f32>;  // (G, tokens)

const LOWEST = -1e30;
alias Part = f32; // of lib/lanes
var<workgroup> normalizers: array<f32, H / G>; // per query head of the group

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let heads = H / G;
  let base = head * params.tokens;
  let first = params.sinks + lane;

  for (var h = 0u; h < heads; h++) {
    let row = (head * heads + h) * params.tokens;
    var top = LOWEST;
    for (var t = first; t < params.tokens; t += 64u) { top = max(top, logits[row + t]); }
    top = highest(top, lane);
    var sum = 0.0;
    for (var t = first; t < params.tokens; t += 64u) { sum += exp(logits[row + t] - top); }
    sum = added(sum, lane);
    if (lane == 0u) { normalizers[h] = top + log(sum); }
  }

  var top = LOWEST;
  for (var t = first; t < params.tokens; t += 64u) { top = max(top, terms[base + t].y); }
  top = highest(top, lane);
  var sums = vec3f(0.0); // condensed attention, diversity, pooled window attention
  for (var t = first; t < params.tokens; t += 64u) {
    sums += vec3f(exp(terms[base + t].y - top), terms[base + t].x, pooled(base, t));
  }
  sums = vec3f(added(sums.x, lane), added(sums.y, lane), added(sums.z, lane));
  if (lane == 0u) { // a prompt of sinks alone has no scale: leave later scores as they are
    let scalars = head * (7u * (D / 2u) + 4u) + SCALARS * (D / 2u);
    moments[scalars] = select(0.0, top + log(sums.x), params.tokens > params.sinks);
    moments[scalars + 1u] = select(1.0, max(sums.y, 1e-30), params.tokens > params.sinks);
  }

  for (var t = first; t < params.tokens; t += 64u) {
    var expected = 0.0;
    for (var h = 0u; h < heads; h++) {
      expected += exp(logits[(head * heads + h) * params.tokens + t] - normalizers[h]) / f32(heads);
    }
    if (ENSEMBLE == 1u) {
      importance[base + t] = EXPECTED * expected + WINDOW * pooled(base, t) / max(sums.z, 1e-30) + DIVERSITY * terms[base + t].x / max(sums.y, 1e-30);
    } else if (VALUE_NORM == 1u) {
      importance[base + t] = (expected + params.epsilon) * norms[base + t].y;
    } else {
      importance[base + t] = expected;
    }
  }
}

// Largest window attention among the neighbours; sinks are no neighbours, their mass would leak.
fn pooled(base: u32, t: u32) -> f32 {
  if (ENSEMBLE == 0u) { return 0.0; }
  var best = 0.0;
  for (var n = max(params.sinks + REACH, t) - REACH; n <= min(t + REACH, params.tokens - 1u); n++) { best = max(best, received[base + n]); }
  return best;
}
