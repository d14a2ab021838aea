// attention-merge: adds the partial outputs of a query head by log-sum-exp, undoes the values' rotation once, and adds the mean
// value times the mass of coded slots. One workgroup per query head; lane = channel.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> partials: array<f32>;      // (H, units, D + 2)
@group(0) @binding(4) var<storage, read> means: array<u32>;         // (G, 2, D/2) f16 pairs
@group(0) @binding(5) var<storage, read_write> output: array<f32>;  // (H * D)
@group(0) @binding(6) var<uniform> units: vec4u;                    // x: units of a head in `partials`

var<workgroup> coded: array<f32, D>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x / GROUP;
  let base = group.x * units.x * (D + 2u);
  let ringUnits = (info.ringSlots + UNIT - 1u) / UNIT;
  let markerUnits = (info.markers + UNIT - 1u) / UNIT;
  let guestUnits = (info.guests + UNIT - 1u) / UNIT;
  var most = -1e30;
  for (var u = 0u; u < units.x; u++) { most = max(most, partials[base + u * (D + 2u) + D]); }
  for (var c = lane; c < D; c += WG) {
    var raw = 0.0;
    var turned = 0.0;
    var mass = vec2f(0.0);                             // as they are, centred
    var unit = 0u;
    for (; unit < ringUnits + markerUnits + guestUnits; unit++) {
      let at = base + unit * (D + 2u);
      let factor = exp(partials[at + D] - most);
      let add = factor * partials[at + c];
      let isRaw = unit < ringUnits + markerUnits && (unit >= ringUnits || info.ringBits == 16u);
      if (isRaw) { raw += add; } else { turned += add; } // a ring in 8 bits and guests are rotated, but not centred
      mass.x += factor * partials[at + D + 1u];
    }
    for (var f = 0u; f < info.numFormats; f++) {
      let last = min(units.x, unit + (table[T_HEADER + head * info.numFormats + f] + UNIT - 1u) / UNIT); // fewer where only some are read
      let isRaw = info.formats[f].valueBits == 16u;
      for (; unit < last; unit++) {
        let at = base + unit * (D + 2u);
        let factor = exp(partials[at + D] - most);
        let add = factor * partials[at + c];
        let l = factor * partials[at + D + 1u];
        if (isRaw || isSparse(info.formats[f])) { raw += add; } else { turned += add; } // sparse ones are not rotated, but centred
        if (isRaw) { mass.x += l; } else { mass.y += l; }
      }
    }
    coded[c] = turned / (mass.x + mass.y);
    let mean = unpack2x16float(means[head * D + D / 2u + c / 2u]);
    output[group.x * D + c] = (raw + mass.y * select(mean.x, mean.y, (c & 1u) == 1u)) / (mass.x + mass.y);
  }
  workgroupBarrier();
  for (var c = lane; c < D; c += WG) {
    let block = (c / BLOCK) * BLOCK;
    var sum = 0.0;
    for (var j = 0u; j < BLOCK; j++) { sum += select(coded[block + j], -coded[block + j], (countOneBits(c & j) & 1u) == 1u); }
    output[group.x * D + c] += sum * inverseSqrt(f32(BLOCK));
  }
}
