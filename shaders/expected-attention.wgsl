// expected-attention: log of the score a key will get on average from queries to come: mean . k / sqrt(D) + k^T C k / (2D), the divisors
// already inside the moments. One workgroup per (256 slots, query head); lane = 4 slots, 64 apart; 8 rows of the matrix at a time in registers.
override H: u32;
override G: u32;
override D: u32; // multiple of 8

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> keys: array<Quad>;            // (G, capacity, D/4)
@group(0) @binding(2) var<storage, read> mean: array<vec4f>;           // (H, D/4)
@group(0) @binding(3) var<storage, read> triangle: array<vec4f>;       // (H, D, D/4): [j][i], zero for i > j
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;     // (H, tokens)

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let slots = vec4u(group.x * 256u + lane) + vec4u(0u, 64u, 128u, 192u);
  let rows = (head / (H / G) * params.capacity + min(slots, vec4u(params.tokens - 1u))) * (D / 4u);
  var total = vec4f(0.0); // one number per slot
  for (var block = 0u; block < D / 8u; block++) {
    let low = mean[head * (D / 4u) + 2u * block];
    let high = mean[head * (D / 4u) + 2u * block + 1u];
    var y0 = vec4f(low.x); var y1 = vec4f(low.y); var y2 = vec4f(low.z); var y3 = vec4f(low.w);
    var y4 = vec4f(high.x); var y5 = vec4f(high.y); var y6 = vec4f(high.z); var y7 = vec4f(high.w);
    for (var quad = 2u * block; quad < D / 4u; quad++) {
      let k = loadQuads(rows + quad);
      for (var c = 0u; c < 4u; c++) {
        let entry = (head * D + 4u * quad + c) * (D / 4u) + 2u * block;
        let a = triangle[entry];
        let b = triangle[entry + 1u];
        let channel = k[c];
        y0 += a.x * channel; y1 += a.y * channel; y2 += a.z * channel; y3 += a.w * channel;
        y4 += b.x * channel; y5 += b.y * channel; y6 += b.z * channel; y7 += b.w * channel;
      }
    }
    let first = loadQuads(rows + 2u * block);
    let second = loadQuads(rows + 2u * block + 1u);
    total += y0 * first[0] + y1 * first[1] + y2 * first[2] + y3 * first[3];
    total += y4 * second[0] + y5 * second[1] + y6 * second[2] + y7 * second[3];
  }
  for (var n = 0u; n < 4u; n++) {
    if (slots[n] < params.tokens) { logits[head * params.tokens + slots[n]] = total[n]; }
  }
}
