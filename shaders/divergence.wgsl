// divergence: how far the compressed cache's logits are from the full cache's: KL(full || compressed), the log-probabilities of the next token, both
// first choices. One workgroup. With u = (compressed - full logit) - c, c its mean under p = softmax(full):
//   KL = log(sum p e^u) - sum p u = log(1 + G + r) - r,   G = sum p (e^u - 1 - u) >= 0,   r = sum p u, which is 0 but for rounding of c.
// No large numbers cancel, so that a KL of 1e-7 has five digits where log p - log q, summed in f32, would have none.
override WG: u32;
override V: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;           // (V) under the compressed cache
@group(0) @binding(1) var<storage, read> fullLogits: array<f32>;       // (V)
@group(0) @binding(2) var<storage, read> next: array<u32>;             // (1) id of the token that follows
@group(0) @binding(3) var<storage, read_write> result: array<u32>;     // (6) logprob, full logprob, KL as f32; first, full first; 1 if a logit is NaN or infinite

var<workgroup> firsts: array<Best, WG>;
var<workgroup> fullFirsts: array<Best, WG>;
var<workgroup> sums: array<vec3f, WG>;

fn include(best: Best, logit: f32, id: u32) -> Best {
  let bad = best.bad | select(0u, 1u, (bitcast<u32>(logit) & 0x7F800000u) == 0x7F800000u);
  if (logit > best.logit) { return Best(logit, id, bad); }
  return Best(best.logit, best.id, bad);
}

/** Sum over all lanes, the same in each. */
fn total(lane: u32, mine: vec3f) -> vec3f {
  workgroupBarrier();
  sums[lane] = mine;
  workgroupBarrier();
  var sum = vec3f();
  for (var i = 0u; i < WG; i++) { sum += sums[i]; }
  return sum;
}

/** p (e^u - 1 - u), given log p. */
fn excess(logp: f32, p: f32, u: f32) -> f32 {
  if (abs(u) > 0.5) { return exp(logp + u) - p * (1.0 + u); }  // e^u alone might overflow, p e^u cannot
  return p * u * u * (0.5 + u * (1.0 / 6.0 + u * (1.0 / 24.0 + u * (1.0 / 120.0 + u * (1.0 / 720.0 + u * (1.0 / 5040.0 + u / 40320.0))))));
}

fn log1p(x: f32) -> f32 {
  return select(log(1.0 + x), x * (1.0 - x * (0.5 - x * (1.0 / 3.0 - x * 0.25))), abs(x) < 0.01);
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  var best = Best(-3.4e38, 0xFFFFFFFFu, 0u);
  var fullBest = best;
  for (var id = lane; id < V; id += WG) {
    best = include(best, logits[id], id);
    fullBest = include(fullBest, fullLogits[id], id);
  }
  firsts[lane] = best;
  fullFirsts[lane] = fullBest;
  workgroupBarrier();
  best = firsts[0];
  fullBest = fullFirsts[0];
  for (var i = 1u; i < WG; i++) {
    best = better(best, firsts[i]);
    fullBest = better(fullBest, fullFirsts[i]);
  }
  let shift = logits[min(fullBest.id, V - 1u)] - fullBest.logit;  // a constant added to all logits is no difference

  var mine = vec3f();  // sums of e^logit, e^full, e^full * difference
  for (var id = lane; id < V; id += WG) {
    let likelihood = exp(fullLogits[id] - fullBest.logit);
    mine += vec3f(exp(logits[id] - best.logit), likelihood, likelihood * (logits[id] - fullLogits[id] - shift));
  }
  let norms = total(lane, mine);
  let logNorm = log(norms.y);
  let center = shift + norms.z / norms.y;

  mine = vec3f();  // sums of G and r
  for (var id = lane; id < V; id += WG) {
    let logp = fullLogits[id] - fullBest.logit - logNorm;
    let p = exp(logp);
    let u = logits[id] - fullLogits[id] - center;
    mine += vec3f(excess(logp, p, u), p * u, 0.0);
  }
  let terms = total(lane, mine);
  if (lane > 0u) { return; }
  var kl = best.logit + log(norms.x) - fullBest.logit - logNorm - center;
  if (kl < 10.0) { kl = log1p(terms.x + terms.y) - terms.y; }  // above, e^KL nears overflow, and nothing cancels
  let id = min(next[0], V - 1u);
  result[0] = bitcast<u32>(logits[id] - best.logit - log(norms.x));
  result[1] = bitcast<u32>(fullLogits[id] - fullBest.logit - logNorm);
  result[2] = bitcast<u32>(max(0.0, kl));
  result[3] = best.id;
  result[4] = fullBest.id;
  result[5] = best.bad | fullBest.bad;
}
