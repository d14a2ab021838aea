// rope: rotates a chunk's queries and keys to their positions; writes queries as f32, keys and values as f16 pairs into the staging buffers or the ring.
// A lane makes one pair of neighbouring channels, which is one word of keys or values.
override WG: u32;
override H: u32;                 // query heads
override G: u32;                 // kv heads
override D: u32;                 // head size, even
override HALF: bool;             // channel i turns with i + D/2 (qwen2) instead of with its neighbour (llama)

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> qkv: array<vec2f>;              // (chunk, (H + 2G) D / 2)
@group(0) @binding(2) var<storage, read> turns: array<vec2f>;            // (context, D / 2) cos, sin
@group(0) @binding(3) var<storage, read_write> queries: array<vec2f>;    // (chunk, H D / 2)
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;         // (G, capacity, D / 2)
@group(0) @binding(5) var<storage, read_write> values: array<u32>;       // (G, capacity, D / 2)

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = group.x * WG + lane;
  if (at >= (H + 2u * G) * (D / 2u)) { return; }
  let token = group.y;
  let head = at / (D / 2u);
  let word = at % (D / 2u);
  let row = token * (H + 2u * G) * (D / 2u);
  if (head >= H + G) {
    let capacity = arrayLength(&values) / (G * (D / 2u));
    values[((head - H - G) * capacity + step.keyRow + token) * (D / 2u) + word] = packed(qkv[row + at]);
    return;
  }
  let pair = rotated(row + at - word, word, step.firstPosition + token);
  if (head < H) {
    queries[token * H * (D / 2u) + at] = pair;
    return;
  }
  let capacity = arrayLength(&keys) / (G * (D / 2u));
  keys[((head - H) * capacity + step.keyRow + token) * (D / 2u) + word] = packed(pair);
}
