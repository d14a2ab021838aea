// slot-means: mean key and mean value of the incoming slots, per kv head, as f16 pairs: what codes are centred on.
// One workgroup per (kv head, plane); lane = pair of channels.
@group(0) @binding(0) var<uniform> step: CompressStep;
@group(0) @binding(1) var<storage, read> source: array<u32>;       // keys then values: (2, G, capacity, D/2) f16 pairs
@group(0) @binding(2) var<storage, read_write> means: array<u32>;  // (G, 2, D/2) f16 pairs

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let plane = group.y;
  for (var pair = lane; pair < D / 2u; pair += WG) {
    var sum = vec2f(0.0);
    for (var j = 0u; j < step.numNew; j++) {
      sum += unpack2x16float(source[plane * step.planeWords + (head * step.capacity + sourceRow(step, j)) * (D / 2u) + pair]);
    }
    means[(head * 2u + plane) * (D / 2u) + pair] = pack2x16float(sum / max(1.0, f32(step.numNew)));
  }
}
