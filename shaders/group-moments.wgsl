// group-moments: pools the queries of a kv head's query heads into one mean and one 2x2 covariance per RoPE pair, and their mean energy.
// One workgroup per kv head; lane = pair.
override H: u32;
override G: u32;    // kv heads
override D: u32;
override HALF: u32; // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> pivot: array<f32>;             // (H, D)
@group(0) @binding(2) var<storage, read> sums: array<f32>;              // (H, D + 1, D)
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;     // (G, 7 D/2 + 4), see lib/moments-record.wgsl
@group(0) @binding(4) var<storage, read_write> queryEnergy: array<f32>; // (G): mean |q|^2

var<workgroup> energies: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let g = group.x;
  let pairs = D / 2u;
  let record = g * (7u * pairs + 4u);
  let heads = H / G;
  var energy = 0.0;
  for (var pair = lane; pair < pairs; pair += 64u) {
    let i = pairChannels(pair);
    var mean = vec2f(0.0);
    for (var h = g * heads; h < (g + 1u) * heads; h++) {
      mean += vec2f(queryMean(h, i.x), queryMean(h, i.y)) / f32(heads);
    }
    var block = vec3f(0.0); // xx, xy, yy
    for (var h = g * heads; h < (g + 1u) * heads; h++) {
      let apart = vec2f(queryMean(h, i.x), queryMean(h, i.y)) - mean; // the heads' means differ: part of the pooled covariance
      block += vec3f(queryCovariance(h, i.x, i.x), queryCovariance(h, i.x, i.y), queryCovariance(h, i.y, i.y)) / f32(heads);
      block += vec3f(apart.x * apart.x, apart.x * apart.y, apart.y * apart.y) / f32(heads);
    }
    moments[record + MEAN_X * pairs + pair] = mean.x;
    moments[record + MEAN_Y * pairs + pair] = mean.y;
    moments[record + COV_XX * pairs + pair] = block.x;
    moments[record + COV_XY * pairs + pair] = block.y;
    moments[record + COV_YY * pairs + pair] = block.z;
    energy += dot(mean, mean) + block.x + block.z;
  }
  energies[lane] = energy;
  workgroupBarrier();
  if (lane == 0u) {
    var sum = 0.0;
    for (var n = 0u; n < 64u; n++) { sum += energies[n]; }
    queryEnergy[g] = sum;
    moments[record + SCALARS * pairs + 2u] = sum;
    moments[record + SCALARS * pairs + 3u] = numQueries();
  }
}
