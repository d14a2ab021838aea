// slot-norms: 1 / |k| and |v| of every slot. One workgroup per (64 slots, kv head); lane = slot.
override D: u32;

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> keys: array<Quad>;          // (G, capacity, D/4)
@group(0) @binding(2) var<storage, read> values: array<Quad>;        // (G, capacity, D/4)
@group(0) @binding(3) var<storage, read_write> norms: array<vec2f>;  // (G, tokens): 1/|k|, |v|

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let head = id.y;
  if (slot >= params.tokens) { return; }
  let row = (head * params.capacity + slot) * (D / 4u);
  var key = 0.0;
  var value = 0.0;
  for (var i = 0u; i < D / 4u; i++) {
    let k = unpackQuad(keys[row + i]);
    let v = unpackQuad(values[row + i]);
    key += dot(k, k);
    value += dot(v, v);
  }
  norms[head * params.tokens + slot] = vec2f(inverseSqrt(max(key, 1e-30)), sqrt(value));
}
