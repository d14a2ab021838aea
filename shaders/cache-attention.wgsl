// cache-attention: one query token against one unit of one kv head's slots, for all query heads that share it. Codes are read in
// place; scale and zero come out of both products as scalars. For coded keys the query is rotated as they were, once per workgroup,
// and its product with the mean key added. Units: first the sinks and the ring, then the markers, which have a bias each, then the
// guests, then every list of pages, UNIT slots at a time. Partial outputs (not divided by l) go to attention-merge. One workgroup per (kv head, unit).
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> table: array<u32>;         // with means and extra rows
@group(0) @binding(3) var<storage, read> rotated: array<f32>;       // (H, D): queries after RoPE
@group(0) @binding(4) var<storage, read> ring: array<u32>;          // keys, then values from ringPlane on: (G, ringSlots) rows
@group(0) @binding(5) var<storage, read_write> partials: array<f32>; // (H, units, D + 2): o, m, l
// lib/bases may follow, then the pool at POOL

const LANES_PER_SLOT = WG / QUADS;                                   // slots whose values are added at once
var<workgroup> weight: array<f32, GROUP * UNIT>;                     // scores, then probabilities times the value's scale
var<workgroup> extreme: array<f32, GROUP * WG>;
var<workgroup> total: array<vec2f, GROUP * WG>;                      // l, and the sum of p * zero
var<workgroup> outs: array<vec4f, WG>;

fn extraQuad(head: u32, row: u32, word: u32) -> vec4f {
  let at = extraAt(head, row) + word;
  return vec4f(unpack2x16float(table[at]), unpack2x16float(table[at + 1u]));
}

// What is added to a marker's logit: the log of the tokens it stands for, without those that are back as guests. A plain one's is 0 whatever is back.
fn markerBias(head: u32, row: u32) -> f32 {
  let at = extraAt(head, row);
  let bias = bitcast<f32>(table[at + X_BIAS]);
  let count = table[at + X_COUNT];
  if (info.guests == 0u || info.plainMarkers == 1u || count == 0u) { return bias; }
  let begin = select(table[at + X_FIRST], 0u, row == 0u);
  var end = NOWHERE;
  if (row + 1u < info.markers) { end = table[at + EXTRA_WORDS + X_FIRST]; }
  var back = 0u;
  for (var guest = 0u; guest < info.guests; guest++) {
    let position = table[guestPositionAt(head, guest)];
    if (position >= begin && position < min(end, WAITING)) { back++; }
  }
  return select(-1e30, log(f32(count - min(back, count))), back < count);
}

fn guestQuad(head: u32, row: u32, word: u32, quad: u32) -> vec4f {
  let bits = info.guestBits;
  return codes4(table[guestAt(head, row) + word + quad * bits / 8u], (quad * 4u * bits) % 32u, bits);
}

// (scale, zero) of a guest's key (0) or value (1).
fn guestScale(head: u32, row: u32, part: u32) -> vec2f { return unpack2x16float(table[guestAt(head, row) + guestCodes() + part]); }

// Four channels of a ring's key (plane 0) or value (plane ringPlane): as they are, or their codes.
fn ringQuad(head: u32, row: u32, plane: u32, quad: u32) -> vec4f {
  let at = plane + (head * info.ringSlots + row) * ringRowWords();
  if (info.ringBits == 8u) { return codes4(ring[at + quad], 0u, 8u); }
  return vec4f(unpack2x16float(ring[at + quad * 2u]), unpack2x16float(ring[at + quad * 2u + 1u]));
}

// (scale, zero) of the key (0) or value (1) of a row that isTurned.
fn turnedScale(unit: Unit, head: u32, row: u32, part: u32) -> vec2f {
  if (unit.kind == 3u) { return guestScale(head, row, part); }
  return unpack2x16float(ring[part * info.ringPlane + (head * info.ringSlots + row) * ringRowWords() + D / 4u]);
}

fn keyQuad(unit: Unit, spot: Spot, quad: u32, head: u32) -> vec4f {
  if (unit.kind == 0u) { return ringQuad(head, spot.slot, 0u, quad); }
  if (unit.kind == 2u) { return extraQuad(head, spot.slot, quad * 2u); }
  if (unit.kind == 3u) { return guestQuad(head, spot.slot, 0u, quad); }
  return pageKeyQuad(unit.format, spot, quad);
}

fn valueQuad(unit: Unit, spot: Spot, quad: u32, head: u32) -> vec4f {
  let slots = unit.format.slots;
  if (unit.kind == 0u) { return ringQuad(head, spot.slot, info.ringPlane, quad); }
  if (unit.kind == 2u) { return extraQuad(head, spot.slot, D / 2u + quad * 2u); }
  if (unit.kind == 3u) { return guestQuad(head, spot.slot, guestCodes() / 2u, quad); }
  if (isSparse(unit.format)) { return sparseQuad(unit.format, spot, quad); }
  let bits = unit.format.valueBits;
  let base = unit.format.keyWords * slots + spot.slot;
  if (bits == 16u) {
    return vec4f(unpack2x16float(poolWord(spot.page, base + quad * 2u * slots)), unpack2x16float(poolWord(spot.page, base + (quad * 2u + 1u) * slots)));
  }
  return codes4(poolWord(spot.page, base + (quad * bits / 8u) * slots), (quad * 4u * bits) % 32u, bits);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let sinks = min(info.sinks, step.firstPosition + 1u);
  let unit = unitOf(head, group.y, sinks);
  let guest = unit.kind == 3u;
  let turned = isTurned(unit);
  let keyCoded = turned || (unit.kind == 1u && unit.format.keyBits != 16u);
  let klt = KLT && unit.kind == 1u && isKlt(unit.format);
  let sparse = unit.kind == 1u && isSparse(unit.format);
  let valueCoded = turned || (unit.kind == 1u && unit.format.valueBits != 16u && !sparse);
  loadQueries(unit, head, lane);

  // 1. scores: lane = slot
  var most: array<f32, GROUP>;
  for (var h = 0u; h < GROUP; h++) { most[h] = -1e30; }
  for (var s = lane; s < unit.count; s += WG) {
    let spot = spotOf(unit, s, sinks);
    var score = array<f32, GROUP>();
    if (klt) { score = kltScores(unit.format, spot); }
    if (sparse) { score = sparseScores(unit.format, spot); }
    for (var quad = 0u; !klt && !sparse && quad < info.headSize / 4u; quad++) {
      let k = keyQuad(unit, spot, quad, head);
      for (var h = 0u; h < GROUP; h++) { score[h] += dot(q[h * QUADS + quad], k); }
    }
    var scale = vec2f(1.0, 0.0);
    if (turned) { scale = turnedScale(unit, head, spot.slot, 0u); }
    else if (keyCoded && !sparse) { scale = keyScale(unit.format, poolWord(spot.page, unit.format.keyScaleWord * unit.format.slots + spot.slot)); }
    var bias = 0.0;
    if (unit.kind == 2u) { bias = markerBias(head, spot.slot); }
    if (guest && table[guestPositionAt(head, spot.slot)] >= WAITING) { bias = -1e30; }
    for (var h = 0u; h < GROUP; h++) {
      var t = score[h];
      if (keyCoded) { t = scale.x * t + scale.y * sums[h].x + select(sums[h].y, 0.0, turned); } // these are not centred
      t += bias;
      weight[h * UNIT + s] = t;
      most[h] = max(most[h], t);
    }
  }
  for (var h = 0u; h < GROUP; h++) { extreme[h * WG + lane] = most[h]; }
  workgroupBarrier();
  for (var h = lane; h < GROUP; h += WG) {
    var m = -1e30;
    for (var i = 0u; i < min(WG, unit.count); i++) { m = max(m, extreme[h * WG + i]); }
    extreme[h * WG] = m;
  }
  workgroupBarrier();

  // 2. probabilities, with the value's scale folded in
  for (var h = 0u; h < GROUP; h++) { total[h * WG + lane] = vec2f(0.0); }
  for (var s = lane; s < unit.count; s += WG) {
    var scale = vec2f(1.0, 0.0);
    if (turned) { scale = turnedScale(unit, head, spotOf(unit, s, sinks).slot, 1u); }
    else if (valueCoded) {
      let spot = spotOf(unit, s, sinks);
      scale = valueScale(unit.format, poolWord(spot.page, unit.format.valueScaleWord * unit.format.slots + spot.slot));
    }
    for (var h = 0u; h < GROUP; h++) {
      let p = exp(weight[h * UNIT + s] - extreme[h * WG]);
      weight[h * UNIT + s] = p * scale.x;
      total[h * WG + lane] += vec2f(p, p * scale.y);
    }
  }
  workgroupBarrier();
  for (var h = lane; h < GROUP; h += WG) {
    var sum = vec2f(0.0);
    for (var i = 0u; i < min(WG, unit.count); i++) { sum += total[h * WG + i]; }
    total[h * WG] = sum;
  }
  workgroupBarrier();

  // 3. values: lane = four channels of every LANES_PER_SLOT-th slot
  let quad = lane % QUADS;
  var o: array<vec4f, GROUP>;
  if (lane < LANES_PER_SLOT * QUADS) {
    for (var s = lane / QUADS; s < unit.count; s += LANES_PER_SLOT) {
      let spot = spotOf(unit, s, sinks);
      let v = valueQuad(unit, spot, quad, head);
      for (var h = 0u; h < GROUP; h++) { o[h] += weight[h * UNIT + s] * v; }
    }
  }
  for (var h = 0u; h < GROUP; h++) {
    outs[lane] = o[h];
    workgroupBarrier();
    let at = ((head * GROUP + h) * groups.y + group.y) * (D + 2u);
    if (lane < QUADS) {
      var sum = vec4f(total[h * WG].y);
      for (var i = 0u; i < LANES_PER_SLOT; i++) { sum += outs[i * QUADS + lane]; }
      for (var c = 0u; c < 4u; c++) { partials[at + lane * 4u + c] = sum[c]; }
    }
    if (lane == 0u) {
      partials[at + D] = extreme[h * WG];
      partials[at + D + 1u] = total[h * WG].x;
    }
    workgroupBarrier();
  }
}
