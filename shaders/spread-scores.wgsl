// spread-scores: per kv head and slot, the mean over the group's heads of what a window's queries pay on average and GAMMA times its variance over them
// (CAKE's score before it is pooled), over the most that this can be: 1 like attention, so that what is kept before all others is. Lane = slot.
override H: u32;
override G: u32;
override GAMMA: f32;

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> spread: array<vec4f>;         // (H, tokens): sums of p, p^2, -p log p, and queries
@group(0) @binding(2) var<storage, read_write> received: array<f32>;   // (G, tokens)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.tokens) { return; }
  var score = 0.0;
  for (var h = 0u; h < H / G; h++) {
    let sums = spread[(id.y * (H / G) + h) * params.tokens + id.x];
    let queries = max(sums.w, 1.0);
    let mean = sums.x / queries;
    score += mean + GAMMA * max(sums.y / queries - mean * mean, 0.0);
  }
  received[id.y * params.tokens + id.x] = score / (f32(H / G) * (1.0 + GAMMA / 4.0));
}
