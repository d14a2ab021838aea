// finish-score: importance of a prompt's slots from the attention they received: per query that could pay it, never below the mean, pooled over
// neighbours, over what its distance alone earns, a block's best, times a norm. One workgroup per kv head; lanes stride over slots, then over blocks.
override SHARED: u32;      // 1: one plane of received attention for all kv heads
override EXPOSURE: u32;    // a slot's sum is divided by: 0 nothing, 1 the queries gathered, 2 those of them that saw it, 3 those that followed it
override QUERIES: u32;     // gathered at most; EXPOSURE 3: followers of a slot that counted at most
override FLOORED: u32;     // 1: no slot counts less than the mean over slots
override REACH: u32;       // neighbours to either side that share their scores
override POOL_MEAN: u32;   // 1: by their mean, with zeros beyond the ends (kvpress); 0: by the largest, sinks left out, whose mass would leak
override KEPT: u32;        // last slots that are kept before all others, and are nobody's neighbours
override DISTANCE: f32;    // divided by P(d) = (1 + d)^-DISTANCE, d positions before the next token; 0: not
override BLOCK: u32;       // slots that are judged together
override WEIGHED: u32;     // 0: no norm; n: norms[n * slot + n - 1], plus epsilon before

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> received: array<f32>;          // (G, tokens), or (tokens) where SHARED
@group(0) @binding(2) var<storage, read> norms: array<f32>;             // (G, tokens, WEIGHED)
@group(0) @binding(3) var<storage, read_write> importance: array<f32>;  // (G, tokens)

alias Part = f32; // of lib/lanes

// Queries among which a slot's sum is divided.
fn exposure(t: u32) -> u32 {
  if (EXPOSURE == 1u) { return min(QUERIES, params.tokens); }
  if (EXPOSURE == 2u) { return min(QUERIES, params.tokens - t); }
  if (EXPOSURE == 3u) { return min(QUERIES, params.tokens - 1u - t); }
  return 1u;
}

// What a slot got; a slot that no query could pay gets the mean of the others.
fn attention(t: u32, plane: u32, mean: f32) -> f32 {
  let queries = exposure(t);
  if (queries == 0u) { return mean; }
  let got = received[plane + t] / f32(queries);
  return select(got, max(got, mean), FLOORED == 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * params.tokens;
  let plane = select(base, 0u, SHARED == 1u);
  let end = params.tokens - min(KEPT, params.tokens);
  var sum = vec2f(0.0); // of attention, and of the slots it is over
  for (var t = params.sinks + lane; t < end; t += 64u) {
    let queries = exposure(t);
    if (queries > 0u) { sum += vec2f(received[plane + t] / f32(queries), 1.0); }
  }
  let mean = added(sum.x, lane) / max(added(sum.y, lane), 1.0);

  for (var t = params.sinks + lane; t < end; t += 64u) {
    var score = 0.0;
    if (POOL_MEAN == 1u) {
      for (var n = max(REACH, t) - REACH; n < min(t + REACH + 1u, end); n++) { score += attention(n, plane, mean); }
      score /= f32(2u * REACH + 1u);
    } else {
      for (var n = max(params.sinks + REACH, t) - REACH; n < min(t + REACH + 1u, end); n++) { score = max(score, attention(n, plane, mean)); }
    }
    if (DISTANCE > 0.0) { score *= pow(f32(1u + params.tokens - t), DISTANCE); }
    importance[base + t] = score;
  }
  storageBarrier();

  // More than any attention times any norm.
  var most = 2.0;
  for (var n = 0u; KEPT > 0u && WEIGHED > 0u && n < arrayLength(&norms); n += WEIGHED) { most = max(most, (2.0 + params.epsilon) * norms[n + WEIGHED - 1u]); }
  for (var block = lane * BLOCK; block < params.tokens; block += 64u * BLOCK) {
    let first = max(block, params.sinks);
    let past = min(block + BLOCK, params.tokens);
    var best = 0.0;
    for (var t = first; t < min(past, end); t++) { best = max(best, importance[base + t]); }
    for (var t = first; t < past; t++) {
      if (t >= end) {
        importance[base + t] = most * (1.0 + f32(t) / f32(params.tokens)); // the later the better, should there be room for some of them only
      } else if (WEIGHED > 0u) {
        importance[base + t] = (best + params.epsilon) * norms[WEIGHED * (base + t) + WEIGHED - 1u];
      } else {
        importance[base + t] = best;
      }
    }
  }
}
