// slot-means: mean key and mean value over rows of the source, per kv head, as f16 pairs: what codes are centred on.
// One workgroup per (kv head, plane); lanes = (part of the rows, pair of channels), parts added in order at the end.
@group(0) @binding(0) var<uniform> step: CompressStep;
@group(0) @binding(1) var<storage, read> source: array<u32>;       // keys then values: (2, G, capacity, D/2) f16 pairs
@group(0) @binding(2) var<storage, read_write> means: array<u32>;  // (G, 2, D/2) f16 pairs

const PAIRS = D / 2u;
const PARTS = WG / PAIRS;
var<workgroup> sums: array<vec2f, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let plane = group.y;
  let pair = lane % PAIRS;
  let base = plane * step.planeWords + head * step.capacity * PAIRS + pair;
  var sum = vec2f(0.0);
  for (var j = lane / PAIRS; j < step.meanRows; j += PARTS) { sum += unpack2x16float(source[base + sourceRow(step, j) * PAIRS]); }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < PAIRS) {
    for (var part = 1u; part < PARTS; part++) { sum += sums[part * PAIRS + lane]; }
    means[(head * 2u + plane) * PAIRS + lane] = pack2x16float(nearestHalf(sum / max(1.0, f32(step.meanRows))));
  }
}
