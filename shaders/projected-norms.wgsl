// projected-norms: sqrt(v^T gram v) of every slot: the L2 norm of what a kv head's group of heads makes of its value, over the layer's mean gain, so that
// it is of the size of |v| in every layer and stored importance keeps its levels. Over lib/prompt-slots or lib/ring-slots.
// One workgroup per (64 slots, kv head); lane = slot. The length const D stands in front: private arrays want it literal.
override G: u32;

@group(0) @binding(1) var<uniform> layer: vec4u;                   // x: the layer's index
@group(0) @binding(2) var<storage, read> values: array<Quad>;      // (G, rows, D/4)
@group(0) @binding(3) var<storage, read> grams: array<vec4f>;      // (L, G, D, D/4)
@group(0) @binding(4) var<storage, read_write> norms: array<f32>;  // (G, slots)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let head = id.y;
  if (slot >= numSlots()) { return; }
  let quads = arrayLength(&values) / (G * numRows()); // D/4, as a bound that compilers do not unroll
  var value: array<vec4f, D / 4u>;
  for (var q = 0u; q < quads; q++) { value[q] = unpackQuad(values[(head * numRows() + slot) * (D / 4u) + q]); }
  var energy = 0.0;
  for (var i = 0u; i < 4u * quads; i++) {
    let row = ((layer.x * G + head) * D + i) * (D / 4u);
    var product = 0.0;
    for (var q = 0u; q < quads; q++) { product += dot(grams[row + q], value[q]); }
    energy += product * value[i / 4u][i % 4u];
  }
  var gain = 0.0; // of a channel, mean over the layer's heads
  for (var i = 0u; i < G * 4u * quads; i++) { gain += grams[(layer.x * G * D + i) * (D / 4u) + (i % D) / 4u][i % 4u] / f32(G * D); }
  norms[head * numSlots() + slot] = sqrt(max(energy, 0.0) / max(gain, 1e-30));
}
