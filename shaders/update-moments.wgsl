// update-moments: adds the current token's queries to the pooled moments of every kv head, so that they follow what is being written.
// A token weighs 1/count, and never less than 1/LIMIT: old text fades. One workgroup per kv head; lane = pair.
override H: u32;
override G: u32;
override D: u32;
override HALF: u32;    // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)
override LIMIT: f32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;            // one row, queries first, before RoPE
@group(0) @binding(1) var<storage, read_write> moments: array<f32>;  // (G, 7 D/2 + 4) of this layer

var<workgroup> energies: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pairs = D / 2u;
  let heads = H / G;
  let record = group.x * (7u * pairs + 4u);
  let count = moments[record + SCALARS * pairs + 3u];
  let weight = 1.0 / min(count + 1.0, LIMIT);
  var energy = 0.0;
  for (var pair = lane; pair < pairs; pair += 64u) {
    let i = select(vec2u(2u * pair, 2u * pair + 1u), vec2u(pair, pair + pairs), HALF == 1u);
    let old = vec2f(moments[record + MEAN_X * pairs + pair], moments[record + MEAN_Y * pairs + pair]);
    var away = vec2f(0.0);  // mean over the heads of q - old mean
    var spread = vec3f(0.0); // mean of its products: xx, xy, yy
    for (var h = group.x * heads; h < (group.x + 1u) * heads; h++) {
      let d = vec2f(qkv[h * D + i.x], qkv[h * D + i.y]) - old;
      away += d / f32(heads);
      spread += vec3f(d.x * d.x, d.x * d.y, d.y * d.y) / f32(heads);
    }
    let mean = old + weight * away;
    let shift = weight * weight * vec3f(away.x * away.x, away.x * away.y, away.y * away.y);
    let was = vec3f(moments[record + COV_XX * pairs + pair], moments[record + COV_XY * pairs + pair], moments[record + COV_YY * pairs + pair]);
    let block = (1.0 - weight) * was + weight * spread - shift;
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
    moments[record + SCALARS * pairs + 2u] = sum;
    moments[record + SCALARS * pairs + 3u] = count + 1.0;
  }
}
