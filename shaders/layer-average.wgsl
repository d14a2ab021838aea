// layer-average: one plane of received attention for a whole layer: the mean over its kv heads; and over the layers so far, layer 0 starting anew.
// One lane per slot.
override G: u32;
override LAYERS: u32; // 1: over the layers so far; 0: of this layer alone

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<uniform> layer: vec4u;                     // x: the layer's index
@group(0) @binding(2) var<storage, read> received: array<f32>;       // (G, tokens)
@group(0) @binding(3) var<storage, read_write> average: array<f32>;  // (tokens)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let t = id.x;
  if (t >= params.tokens) { return; }
  var mean = 0.0;
  for (var g = 0u; g < G; g++) { mean += received[g * params.tokens + t] / f32(G); }
  if (LAYERS == 0u || layer.x == 0u) {
    average[t] = mean;
  } else {
    average[t] += (mean - average[t]) / f32(layer.x + 1u);
  }
}
