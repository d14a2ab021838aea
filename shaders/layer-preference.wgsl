// layer-preference: how much of the bytes a layer asks for (CAKE): entropy of what a window's queries pay to the slots before the window, over heads, queries and
// slots, and the variance of that over the queries, summed over slots and heads: entropy^(1/TAU1) variance^(1/TAU2). One workgroup; lanes stride over slots.
override H: u32;
override WINDOW: u32;
override TAU1: f32;
override TAU2: f32;

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> spread: array<vec4f>;            // (H, tokens): sums of p, p^2, -p log p, and queries
@group(0) @binding(2) var<storage, read_write> preference: array<f32>;    // (1)

alias Part = vec2f; // of lib/lanes

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  let prefix = params.tokens - min(WINDOW, params.tokens);
  var sums = vec2f(0.0); // entropy, variance
  for (var h = 0u; h < H; h++) {
    for (var t = lane; t < prefix; t += 64u) {
      let paid = spread[h * params.tokens + t];
      let queries = max(paid.w, 1.0);
      let mean = paid.x / queries;
      sums += vec2f(paid.z, max(paid.y / queries - mean * mean, 0.0));
    }
  }
  sums = added(sums, lane);
  if (lane == 0u) { preference[0] = pow(max(sums.x, 1e-30), 1.0 / TAU1) * pow(max(sums.y, 1e-30), 1.0 / TAU2); }
}
