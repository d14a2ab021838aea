// ring-rope: rope for one token whose ring keeps 8 bits a channel: queries as f32, key and value as coded rows. One workgroup per head of queries, keys and values;
// lane = pair of neighbouring channels.
override HALF: bool;             // channel i turns with i + D/2 (qwen2) instead of with its neighbour (llama)
const H = G * GROUP;             // query heads

@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> qkv: array<vec2f>;              // ((H + 2G) D / 2)
@group(0) @binding(3) var<storage, read> turns: array<vec2f>;            // (context, D / 2) cos, sin
@group(0) @binding(4) var<storage, read_write> queries: array<vec2f>;    // (H D / 2)
@group(0) @binding(5) var<storage, read_write> rows: array<u32>;         // (2, ringPlane)

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * (D / 2u);
  if (group.x < H) {
    for (var word = lane; word < D / 2u; word += WG) { queries[first + word] = rotated(first, word, step.firstPosition); }
    return;
  }
  let isValue = group.x >= H + G;
  let head = (group.x - H) % G;
  for (var word = lane; word < D / 2u; word += WG) {
    var pair = qkv[first + word];
    if (!isValue) { pair = rotated(first, word, step.firstPosition); }
    channels[2u * word] = pair.x;
    channels[2u * word + 1u] = pair.y;
  }
  codeRow(select(0u, info.ringPlane, isValue) + (head * info.ringSlots + step.keyRow) * ringRowWords(), lane);
}
