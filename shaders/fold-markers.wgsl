// fold-markers: takes what a compression dropped into the markers of its kv head: importance-weighted mean key and value of a span, in f16, and the
// log of the number of tokens as what its logit gets more. Sums are taken in the basis that slots are coded in and turned back once. A plain
// marker has the head's mean key and value instead, and nothing added. One workgroup per (kv head, marker); lane = channel.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<storage, read_write> table: array<u32>;    // with means and extra rows
@group(0) @binding(3) var<storage, read> lifted: array<u32>;
@group(0) @binding(4) var<storage, read> source: array<u32>;
@group(0) @binding(5) var<storage, read> candidates: array<vec4u>;   // with choices in them
// lib/bases may follow

const CHANNELS = (D + WG - 1u) / WG;                  // of a lane
struct Sums { rawKey: f32, turnedKey: f32, kltKey: f32, rawValue: f32, turnedValue: f32 }
struct Weights { all: f32, codedKey: f32, codedValue: f32 } // coded: in need of the mean
var<workgroup> weight: array<f32, WG>;                // of a run of candidates; 0: not dropped, or of another span
var<workgroup> places: array<u32, WG>;
var<workgroup> turned: array<vec3f, D>;               // sums of coded channels: keys in a Hadamard basis, calibrated ones, values
var<workgroup> mean: array<vec2f, D>;

fn halfAt(word: u32, channel: u32) -> f32 {
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, (channel & 1u) == 1u);
}

fn positionOf(place: u32) -> u32 {
  if (!isInPages(place)) { return step.firstPosition + place; }
  let format = info.formats[formatOf(place)];
  return metaPosition(lifted[pageOf(place) * info.pageWords + slotOf(place) + (format.words - 1u) * format.slots]);
}

fn codeAt(base: u32, stride: u32, bit: u32, bits: u32) -> f32 { return f32((lifted[base + (bit / 32u) * stride] >> (bit % 32u)) & ((1u << bits) - 1u)); }

// A channel of a calibrated key, in the basis.
fn kltChannel(f: Format, base: u32, channel: u32) -> f32 {
  var at = 0u;                                         // bits
  let group = channel / (D / 4u);
  for (var g = 0u; g < group; g++) { at += groupBits(f, g) * (D / 4u); }
  let bits = groupBits(f, group);
  if (bits == 0u) { return 0.0; }
  let code = codeAt(base, f.slots, at + (channel % (D / 4u)) * bits, bits);
  return unpack2x16float(lifted[base + f.keyScaleWord * f.slots]).x * groupStep(bits) * (code - middle(bits));
}

// A channel of a sparse vector less its mean, which is not rotated.
fn sparseChannel(base: u32, stride: u32, bits: u32, scale: vec2f, channel: u32) -> f32 {
  let mask = lifted[base + (channel / 32u) * stride];
  if (((mask >> (channel % 32u)) & 1u) == 0u) { return 0.0; }
  var kept = countOneBits(mask & ((1u << (channel % 32u)) - 1u));
  for (var w = 0u; w < channel / 32u; w++) { kept += countOneBits(lifted[base + w * stride]); }
  return scale.y + scale.x * codeAt(base, stride, 32u * MASK_WORDS + kept * bits, bits);
}

fn addSlot(sums: ptr<function, Sums>, head: u32, place: u32, w: f32, channel: u32) {
  if (!isInPages(place)) {
    let at = (head * step.capacity + sourceRow(step, place)) * (D / 2u) + channel / 2u;
    (*sums).rawKey += w * halfAt(source[at], channel);
    (*sums).rawValue += w * halfAt(source[step.planeWords + at], channel);
    return;
  }
  let f = info.formats[formatOf(place)];
  let base = pageOf(place) * info.pageWords + slotOf(place);
  let valueBase = base + f.keyWords * f.slots;
  if (isSparse(f)) {
    (*sums).rawKey += w * sparseChannel(base, f.slots, f.keyBits, keyScale(f, lifted[base + f.keyScaleWord * f.slots]), channel);
    (*sums).rawValue += w * sparseChannel(valueBase, f.slots, f.valueBits, valueScale(f, lifted[base + f.valueScaleWord * f.slots]), channel);
    return;
  }
  if (f.keyBits == 16u) { (*sums).rawKey += w * halfAt(lifted[base + (channel / 2u) * f.slots], channel); }
  else if (KLT && isKlt(f)) { (*sums).kltKey += w * kltChannel(f, base, channel); }
  else {
    let scale = keyScale(f, lifted[base + f.keyScaleWord * f.slots]);
    (*sums).turnedKey += w * (scale.y + scale.x * codeAt(base, f.slots, channel * f.keyBits, f.keyBits));
  }
  if (f.valueBits == 16u) { (*sums).rawValue += w * halfAt(lifted[valueBase + (channel / 2u) * f.slots], channel); }
  else {
    let scale = valueScale(f, lifted[base + f.valueScaleWord * f.slots]);
    (*sums).turnedValue += w * (scale.y + scale.x * codeAt(valueBase, f.slots, channel * f.valueBits, f.valueBits));
  }
}

// (key, value) of a channel whose sums stand in `turned`, out of their bases.
fn turnBack(head: u32, channel: u32) -> vec2f {
  var sum = vec2f(0.0);
  let block = (channel / BLOCK) * BLOCK;
  for (var j = 0u; j < (info.headSize & (0u - info.headSize)); j++) {
    sum += select(1.0, -1.0, (countOneBits(channel & j) & 1u) == 1u) * turned[block + j].xz;
  }
  sum *= inverseSqrt(f32(BLOCK));
  if (KLT) {
    for (var pair = 0u; pair < info.headSize / 2u; pair++) { sum.x += dot(queryBasis(head, channel, pair), vec2f(turned[2u * pair].y, turned[2u * pair + 1u].y)); }
  }
  return sum;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let row = extraAt(head, group.y);
  let first = table[row + X_FIRST];
  let begin = select(first, 0u, group.y == 0u && first != NOWHERE);
  var end = NOWHERE;
  if (group.y + 1u < info.markers) { end = table[row + EXTRA_WORDS + X_FIRST]; }
  var sums: array<Sums, CHANNELS>;
  var added: Weights;
  var count = 0u;
  var earliest = first;
  for (var base = 0u; base < step.numCandidates; base += WG) {
    weight[lane] = 0.0;
    if (base + lane < step.numCandidates) {
      let candidate = candidates[head * step.numCandidates + base + lane];
      if (isDropped(candidate)) {
        let position = positionOf(candidate.x);
        if (position >= begin && position < end) { weight[lane] = abs(bitcast<f32>(candidate.y)); }
      }
      places[lane] = candidate.x;
    }
    workgroupBarrier();
    for (var i = 0u; i < WG; i++) {
      let w = weight[i];
      if (w == 0.0) { continue; }
      let place = places[i];
      let format = info.formats[formatOf(place)];
      count++;
      added.all += w;
      if (isInPages(place) && format.keyBits != 16u) { added.codedKey += w; }
      if (isInPages(place) && format.valueBits != 16u) { added.codedValue += w; }
      earliest = min(earliest, positionOf(place));
      for (var c = 0u; c < CHANNELS; c++) { if (lane + c * WG < D) { addSlot(&sums[c], head, place, w, lane + c * WG); } }
    }
    workgroupBarrier();
  }
  for (var c = 0u; c < CHANNELS; c++) { if (lane + c * WG < D) { turned[lane + c * WG] = vec3f(sums[c].turnedKey, sums[c].kltKey, sums[c].turnedValue); } }
  workgroupBarrier();
  let held = bitcast<f32>(table[row + X_WEIGHT]);
  let plain = info.plainMarkers == 1u;
  for (var c = 0u; c < CHANNELS; c++) {
    let channel = lane + c * WG;
    if (channel >= D) { break; }
    let means = info.meanStart + head * D + channel / 2u;
    let centre = vec2f(halfAt(table[means], channel), halfAt(table[means + D / 2u], channel));
    let old = vec2f(halfAt(table[row + channel / 2u], channel), halfAt(table[row + D / 2u + channel / 2u], channel));
    let sum = vec2f(sums[c].rawKey, sums[c].rawValue) + turnBack(head, channel) + vec2f(added.codedKey, added.codedValue) * centre;
    mean[channel] = select((held * old + sum) / (held + added.all), centre, plain);
  }
  let total = table[row + X_COUNT] + count;
  workgroupBarrier();
  if (count == 0u) { return; }
  for (var pair = lane; pair < D / 2u; pair += WG) {
    let a = mean[2u * pair];
    let b = mean[2u * pair + 1u];
    table[row + pair] = pack2x16float(nearestHalf(vec2f(a.x, b.x)));
    table[row + D / 2u + pair] = pack2x16float(nearestHalf(vec2f(a.y, b.y)));
  }
  if (lane == 0u) {
    table[row + X_BIAS] = bitcast<u32>(select(log(f32(total)), 0.0, plain));
    table[row + X_WEIGHT] = bitcast<u32>(held + added.all);
    table[row + X_COUNT] = total;
    table[row + X_FIRST] = earliest;
  }
}
