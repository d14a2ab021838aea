// pack-moments: a layer's records of moments as a cache keeps them: planes to the nearest f16, a word for two pairs, scalars as they are.
// One workgroup per (64 words, kv head); lane = word.
override D: u32;

@group(0) @binding(0) var<storage, read> moments: array<f32>;     // (G, 7 D/2 + 4), see lib/moments-record
@group(0) @binding(1) var<storage, read_write> kept: array<u32>;  // (G, 7 D/4 + 4), see lib/moments-f16

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let words = 7u * (D / 4u); // of all planes
  if (id.x >= words + 4u) { return; }
  let record = id.y * (2u * words + 4u);
  let to = id.y * (words + 4u) + id.x;
  if (id.x >= words) {
    kept[to] = bitcast<u32>(moments[record + words + id.x]);
    return;
  }
  let pairs = vec2f(moments[record + 2u * id.x], moments[record + 2u * id.x + 1u]);
  kept[to] = pack2x16float(nearestHalf(clamp(pairs, vec2f(-65504.0), vec2f(65504.0)))); // beyond them a pack may give anything
}
