// key-diversity: per slot of the prompt, how far its key is from the mean unit key, and its condensed log-score, whose sums normalise
// what is scored later. One workgroup per (64 slots, kv head); lane = slot.
override D: u32;
override HALF: u32; // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> keys: array<Quad>;          // (G, capacity, D/4)
@group(0) @binding(2) var<storage, read> moments: array<Four>;       // (G, 7 D/8 + 1)
@group(0) @binding(3) var<storage, read> rotation: array<vec4f>;     // (D/4): two pairs of (mean cos, mean sin)
@group(0) @binding(4) var<storage, read_write> terms: array<vec2f>;  // (G, tokens): diversity, condensed logit

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let head = id.y;
  if (slot >= params.tokens) { return; }
  let found = keyTerms((head * params.capacity + slot) * (D / 4u), head);
  terms[head * params.tokens + slot] = vec2f(found.diversity, found.logit);
}
