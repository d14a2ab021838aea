// update-moments: adds the current token's queries to the kept moments of every kv head, so that they follow what is being written.
// A token weighs 1/count, and never less than 1/LIMIT: old text fades. That moves most numbers by less than half a step of f16, so they are rounded up or down by
// lot, as often as it takes: on average nothing is lost. One workgroup per kv head; lane = two pairs.
override H: u32;
override G: u32;
override D: u32;
override HALF: u32;    // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)
override LIMIT: f32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;            // one row, queries first, before RoPE
@group(0) @binding(1) var<storage, read_write> moments: array<u32>;  // of this layer, see lib/moments-f16

var<workgroup> energies: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let words = D / 4u; // of a plane
  let heads = H / G;
  let record = 2u * recordOf(group.x);
  let scalars = record + SCALARS * words;
  let count = bitcast<f32>(moments[scalars + 3u]);
  let weight = 1.0 / min(count + 1.0, LIMIT);
  let lots = pcg(group.x + pcg(u32(count)));
  var energy = 0.0;
  for (var word = lane; word < words; word += 64u) {
    let at = record + word;
    let oldX = unpack2x16float(moments[at + MEAN_X * words]);
    let oldY = unpack2x16float(moments[at + MEAN_Y * words]);
    var awayX = vec2f(0.0); // mean over the heads of q - old mean
    var awayY = vec2f(0.0);
    var xx = vec2f(0.0);    // mean of its products
    var xy = vec2f(0.0);
    var yy = vec2f(0.0);
    for (var h = group.x * heads; h < (group.x + 1u) * heads; h++) {
      let x = queriesAt(h * D, 2u * word, 0u) - oldX;
      let y = queriesAt(h * D, 2u * word, 1u) - oldY;
      awayX += x / f32(heads);
      awayY += y / f32(heads);
      xx += x * x / f32(heads);
      xy += x * y / f32(heads);
      yy += y * y / f32(heads);
    }
    let x = oldX + weight * awayX;
    let y = oldY + weight * awayY;
    let shift = weight * weight;
    xx = (1.0 - weight) * unpack2x16float(moments[at + COV_XX * words]) + weight * xx - shift * awayX * awayX;
    xy = (1.0 - weight) * unpack2x16float(moments[at + COV_XY * words]) + weight * xy - shift * awayX * awayY;
    yy = (1.0 - weight) * unpack2x16float(moments[at + COV_YY * words]) + weight * yy - shift * awayY * awayY;
    keep(at, MEAN_X, x, lots + word);
    keep(at, MEAN_Y, y, lots + word);
    keep(at, COV_XX, xx, lots + word);
    keep(at, COV_XY, xy, lots + word);
    keep(at, COV_YY, yy, lots + word);
    let squares = x * x + y * y + xx + yy;
    energy += squares.x + squares.y;
  }
  energies[lane] = energy;
  workgroupBarrier();
  if (lane == 0u) {
    var sum = 0.0;
    for (var n = 0u; n < 64u; n++) { sum += energies[n]; }
    moments[scalars + 2u] = bitcast<u32>(sum);
    moments[scalars + 3u] = bitcast<u32>(count + 1.0);
  }
}

// One channel (0: x, 1: y) of a pair and of the next.
fn queriesAt(head: u32, pair: u32, channel: u32) -> vec2f {
  let apart = select(2u, 1u, HALF == 1u);
  let first = head + apart * pair + channel * select(1u, D / 2u, HALF == 1u);
  return vec2f(qkv[first], qkv[first + apart]);
}

// A word of a plane: what is under an f16's last digit is its chance to be rounded away from zero.
fn keep(at: u32, plane: u32, values: vec2f, lots: u32) {
  let lot = pcg(lots + plane * (D / 4u));
  let bits = bitcast<vec2u>(clamp(values, vec2f(-65504.0), vec2f(65504.0))) + (vec2u(lot, lot >> 16u) & vec2u(0x1FFFu));
  moments[at + plane * (D / 4u)] = pack2x16float(bitcast<vec2f>(bits & vec2u(0xFFFFE000u)));
}
