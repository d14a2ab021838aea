// sample: the next token from the scanned logits, written where the next step's embedding reads it. One workgroup.
// temperature 0: the largest logit, lowest id. Otherwise top-k, then top-p of what is left, then min-p, each a lower bound on the logit (equal logits
// stay or go together), and the Gumbel trick: the largest of logit / temperature + noise(seed, index, id) is a draw from the softmax.
// Bounds are found by radix search, a byte at a time, over integer counts and integer masses: sums that do not depend on their order.
override WG: u32;
override V: u32;
override SLICES: u32;
override WINDOW: u32;
override DRAW: bool;             // whether the temperature may be above 0; without it the shader is short

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> sampling: Sampling;
@group(0) @binding(2) var<storage, read> slices: array<Best>;          // (SLICES)
@group(0) @binding(3) var<storage, read> logits: array<f32>;           // (V), penalised
@group(0) @binding(4) var<storage, read_write> token: array<u32>;      // (2) id, 1 if a logit was NaN or infinite
@group(0) @binding(5) var<storage, read_write> recent: array<u32>;     // (WINDOW), a ring

var<workgroup> lanes: array<Best, WG>;
var<workgroup> sums: array<f32, WG>;
var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> found: vec2u;     // prefix of the bound so far, amount above it

/** Larger floats have larger keys. */
fn keyOf(logit: f32) -> u32 {
  let bits = bitcast<u32>(logit);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

/** -log(-log(1 - w)) for a uniform w; the series where WGSL's log, near 1, is too coarse. */
fn gumbel(id: u32) -> f32 {
  let w = (f32(pcg(id + pcg(step.index + pcg(step.seed))) >> 9u) + 0.5) / 8388608.0;
  return -log(select(-log(1.0 - w), w * (1.0 + w * (0.5 + w / 3.0)), w < 0.01));
}

fn likelihood(logit: f32, top: f32) -> f32 {
  return exp((logit - top) / sampling.temperature);
}

/** Sum over all lanes, the same in each. */
fn total(lane: u32, mine: f32) -> f32 {
  sums[lane] = mine;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < WG; i++) { sum += sums[i]; }
  return sum;
}

/** What a token weighs in a search: 1, or its likelihood in units of scale. */
fn amount(logit: f32, top: f32, scale: f32) -> u32 {
  if (scale == 0.0) { return 1u; }
  return u32(likelihood(logit, top) * scale);
}

/** The largest key such that tokens at or above it, and at or above `bound`, weigh at least `wanted` together. */
fn search(lane: u32, top: f32, bound: u32, scale: f32, wanted: u32) -> u32 {
  if (lane == 0u) { found = vec2u(); }
  for (var level = 0u; level < 4u; level++) {
    for (var i = lane; i < 256u; i += WG) { atomicStore(&histogram[i], 0u); }
    workgroupBarrier();
    let shift = 24u - 8u * level;
    let prefix = found.x;
    for (var id = lane; id < V; id += WG) {
      let logit = logits[id];
      let key = keyOf(logit);
      let matches = level == 0u || (key >> (shift + 8u)) == prefix;
      if (matches && key >= bound) { atomicAdd(&histogram[(key >> shift) & 255u], amount(logit, top, scale)); }
    }
    workgroupBarrier();
    if (lane == 0u) {
      var above = found.y;
      var bin = 255u;
      while (bin > 0u && above + atomicLoad(&histogram[bin]) < wanted) {
        above += atomicLoad(&histogram[bin]);
        bin--;
      }
      found = vec2u((prefix << 8u) | bin, above);
    }
    workgroupBarrier();
  }
  return max(found.x, bound);
}

/** Key of the lowest logit that top-k and top-p leave. */
fn lowest(lane: u32, top: f32) -> u32 {
  var bound = 0u;
  if (sampling.topK > 0u && sampling.topK < V) { bound = search(lane, top, 0u, 0.0, sampling.topK); }
  if (sampling.topP < 1.0) {
    var mine = 0.0;
    for (var id = lane; id < V; id += WG) {
      if (keyOf(logits[id]) >= bound) { mine += likelihood(logits[id], top); }
    }
    let scale = 2147483648.0 / total(lane, mine);
    workgroupBarrier();
    bound = search(lane, top, bound, scale, max(1u, u32(sampling.topP * 2147483648.0)));
  }
  return bound;
}

fn draw(lane: u32, top: f32) -> Best {
  let bound = lowest(lane, top);
  var best = Best(-3.4e38, 0xFFFFFFFFu, 0u);
  for (var id = lane; id < V; id += WG) {
    let logit = logits[id];
    if (keyOf(logit) < bound || logit < top + sampling.minLogit) { continue; }
    let value = (logit - top) / sampling.temperature + gumbel(id);
    if (value > best.logit) { best = Best(value, id, 0u); }
  }
  return best;
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  var best = slices[0];
  for (var i = 1u; i < SLICES; i++) { best = better(best, slices[i]); }
  let bad = best.bad;
  if (DRAW && sampling.temperature > 0.0) {
    lanes[lane] = draw(lane, best.logit);
    workgroupBarrier();
    best = lanes[0];
    for (var i = 1u; i < WG; i++) { best = better(best, lanes[i]); }
  }
  if (lane > 0u) { return; }
  token[0] = min(best.id, V - 1u);
  token[1] = bad;
  recent[step.index % WINDOW] = best.id;
}
