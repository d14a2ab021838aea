// redundancy: R-KV's score of every slot: n (LAMBDA I + (1 - LAMBDA) (C - R)), the published LAMBDA I - (1 - LAMBDA) R lifted to zero and times the
// prompt's tokens n. I: pooled share of the window's attention; R: softmax of the mean cosine with the other keys, of which the latest alike is let off;
// C: the largest R. One workgroup per kv head; lanes stride over slots. Sinks count in the means and get a score like the others.
override D: u32;
override HALF: u32;   // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)
override LAMBDA: f32;
override WINDOW: u32; // last queries, whose own tokens have I = 0
override REACH: u32;  // neighbours to either side in the pool

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> keys: array<Quad>;             // (G, capacity, D/4)
@group(0) @binding(2) var<storage, read> norms: array<vec2f>;           // (G, tokens): 1/|k|, |v|
@group(0) @binding(3) var<storage, read> credits: array<u32>;           // (G, tokens), in 1/65536
@group(0) @binding(4) var<storage, read> received: array<f32>;          // (G, tokens)
@group(0) @binding(5) var<storage, read_write> moments: array<f32>;     // (G, 7 D/2 + 4): writes the first two scalars: n C, mean exp
@group(0) @binding(6) var<storage, read_write> importance: array<f32>;  // (G, tokens)

var<workgroup> mean: array<f32, D>; // sum of unit keys over n
alias Part = f32; // of lib/lanes

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let base = head * params.tokens;
  let tokens = f32(params.tokens);
  let prefix = params.tokens - min(WINDOW, params.tokens);
  let scalars = head * (7u * (D / 2u) + 4u) + SCALARS * (D / 2u);
  for (var i = lane; i < D; i += 64u) { mean[i] = moments[scalars - D + place(i)]; }
  workgroupBarrier();

  var top = -2.0;
  for (var t = lane; t < params.tokens; t += 64u) { // the mean cosine, for now
    let cosine = meanCosine(head, t) - (1.0 + f32(credits[base + t]) / 65536.0) / tokens; // less its own 1
    importance[base + t] = cosine;
    top = max(top, cosine);
  }
  top = highest(top, lane);
  var sums = vec2f(0.0);
  for (var t = lane; t < params.tokens; t += 64u) {
    sums.x += exp(importance[base + t] - top);
    if (t < prefix) { sums.y += received[base + t]; }
  }
  sums = vec2f(added(sums.x, lane), added(sums.y, lane));
  let most = tokens / sums.x; // n C
  for (var t = lane; t < params.tokens; t += 64u) {
    let redundancy = exp(importance[base + t] - top) * most;
    let share = pooled(base, t, prefix) / max(sums.y, 1e-30);
    importance[base + t] = LAMBDA * tokens * share + (1.0 - LAMBDA) * (most - redundancy);
  }
  if (lane == 0u) {
    moments[scalars] = most;
    moments[scalars + 1u] = sums.x / tokens * exp(top);
  }
}

// Where a channel stands in a list of all x, then all y of RoPE pairs.
fn place(channel: u32) -> u32 { return select(channel / 2u + (channel % 2u) * (D / 2u), channel, HALF == 1u); }

// D/4, as a bound that compilers cannot unroll.
fn quads() -> u32 { return min(D / 4u, arrayLength(&keys)); }

fn meanCosine(head: u32, t: u32) -> f32 {
  let row = (head * params.capacity + t) * (D / 4u);
  var sum = 0.0;
  for (var i = 0u; i < quads(); i++) { sum += dot(unpackQuad(keys[row + i]), vec4f(mean[4u * i], mean[4u * i + 1u], mean[4u * i + 2u], mean[4u * i + 3u])); }
  return sum * norms[head * params.tokens + t].x;
}

fn pooled(base: u32, t: u32, prefix: u32) -> f32 {
  if (t >= prefix) { return 0.0; }
  var best = 0.0;
  for (var n = max(REACH, t) - REACH; n <= min(t + REACH, prefix - 1u); n++) { best = max(best, received[base + n]); }
  return best;
}
