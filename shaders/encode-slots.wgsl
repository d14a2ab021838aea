// encode-slots: writes every kept candidate to its place. A slot whose format does not change is moved as raw codes; the others
// are centred, turned into the format's basis (lib/klt-encode, or a Hadamard matrix, block-wise where the head size is no power of
// two), rounded, and packed.
// Lane = candidate.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<storage, read> table: array<u32>;            // with the means at info.meanStart
@group(0) @binding(3) var<storage, read> lifted: array<u32>;
@group(0) @binding(4) var<storage, read> source: array<u32>;
@group(0) @binding(5) var<storage, read> candidates: array<vec4u>;
// lib/bases may follow, then the pool at POOL

var<private> x: array<f32, D>;

// Walsh-Hadamard transform of each block of BLOCK channels, orthonormal; its own inverse.
fn rotate() {
  let block = info.headSize & (0u - info.headSize);     // BLOCK
  for (var half = 1u; half < block; half *= 2u) {
    for (var i = 0u; i < info.headSize / 2u; i++) {
      let a = (i / half) * 2u * half + i % half;
      let u = x[a];
      let v = x[a + half];
      x[a] = u + v;
      x[a + half] = u - v;
    }
  }
  for (var c = 0u; c < info.headSize; c++) { x[c] *= inverseSqrt(f32(BLOCK)); }
}

struct Place { page: u32, slot: u32, slots: u32 }

fn put(place: Place, word: u32, value: u32) { setPoolWord(place.page, word * place.slots + place.slot, value); }

// Scale and zero of x at these bits, as they will be read back from f16; at two bits and one the scale that keeps <x, x^> = <x, x>,
// and the distance of the levels that x is rounded with; at one bit the sign alone counts. AGACC's grid (2.4.1) is even around the mean.
fn scaleOf(bits: u32) -> vec2f {
  if (bits < 4u) {
    var energy = 0.0;
    for (var c = 0u; c < info.headSize; c++) { energy += x[c] * x[c]; }
    let step = max(0.995 * sqrt(energy / f32(D)), 1e-8);
    let most = f32((1u << bits) - 1u);
    var along = 0.0;
    for (var c = 0u; c < info.headSize; c++) { along += x[c] * (clamp(floor(x[c] / step + 0.5 * (most + 1.0)), 0.0, most) - 0.5 * most); }
    return vec2f(nearestHalf(vec2f(energy / max(along, 1e-8))).x, step);
  }
  if (info.deviations > 0.0) {
    var mean = 0.0;
    for (var c = 0u; c < info.headSize; c++) { mean += x[c] / f32(D); }
    var variance = 0.0;
    for (var c = 0u; c < info.headSize; c++) { variance += (x[c] - mean) * (x[c] - mean) / f32(D); }
    let half = f32((1u << (bits - 1u)) - 1u);
    let scale = info.deviations * sqrt(variance) / half;
    return nearestHalf(vec2f(scale, mean - half * scale));
  }
  return rangeOf(bits);
}

// Scale and zero of a grid from the smallest channel of x to the largest.
fn rangeOf(bits: u32) -> vec2f {
  var least = x[0];
  var most = x[0];
  for (var c = 1u; c < info.headSize; c++) { least = min(least, x[c]); most = max(most, x[c]); }
  return nearestHalf(vec2f((most - least) / f32((1u << bits) - 1u), least));
}

// Codes of x from `firstWord` on; returns what the scale word stores.
fn encode(place: Place, firstWord: u32, bits: u32) -> vec2f {
  let scale = scaleOf(bits);
  let lone = bits < 4u;
  let most = f32((1u << bits) - 1u - select(0u, 1u, !lone && info.deviations > 0.0)); // an odd number of codes lies even around the mean
  let zero = select(scale.y, -0.5 * (most + 1.0) * scale.y, lone);
  let step = select(scale.x, scale.y, lone);
  let inverse = select(0.0, 1.0 / step, step > 0.0);
  let round = select(0.5, 0.0, lone);                  // lone scales: thresholds at whole steps
  let perWord = 32u / bits;
  for (var w = 0u; w < codeWords(bits); w++) {
    var word = 0u;
    for (var c = 0u; c < perWord; c++) {
      let code = u32(clamp(floor((x[w * perWord + c] - zero) * inverse + round), 0.0, most));
      word |= code << (c * bits);
    }
    put(place, firstWord + w, word);
  }
  return scale;
}

// x from raw f16 pairs, centred.
fn loadRaw(fromLifted: bool, base: u32, stride: u32, meanBase: u32) {
  for (var pair = 0u; pair < info.headSize / 2u; pair++) {
    var word: u32;
    if (fromLifted) { word = lifted[base + pair * stride]; } else { word = source[base + pair * stride]; }
    let v = unpack2x16float(word) - unpack2x16float(table[info.meanStart + meanBase + pair]);
    x[2u * pair] = v.x;
    x[2u * pair + 1u] = v.y;
  }
}

// x from codes in a Hadamard basis: already centred and rotated.
fn loadCoded(base: u32, stride: u32, bits: u32, scale: vec2f) {
  for (var w = 0u; w < codeWords(bits); w++) {
    let word = lifted[base + w * stride];
    for (var c = 0u; c < 32u / bits; c++) {
      x[w * (32u / bits) + c] = scale.y + scale.x * f32((word >> (c * bits)) & ((1u << bits) - 1u));
    }
  }
}

// x from a key as it stands, turned from what it is coded in to what it will be. base: of the slot, or of the row in the source.
fn loadKey(head: u32, f: Format, old: bool, oldFormat: Format, base: u32, stride: u32) {
  let klt = KLT && isKlt(f);
  let oldKlt = KLT && isKlt(oldFormat);
  var centred = true;
  if (!old || oldFormat.keyBits == 16u) { loadRaw(old, base, stride, head * D); }
  else if (isSparse(oldFormat)) { loadSparse(base, stride, oldFormat.keyBits, keyScale(oldFormat, lifted[base + oldFormat.keyScaleWord * stride])); }
  else if (oldKlt) {
    loadKlt(base, stride, oldFormat);
    if (klt) { centred = false; } else { leaveBasis(head); }
  } else {
    loadCoded(base, stride, oldFormat.keyBits, keyScale(oldFormat, lifted[base + oldFormat.keyScaleWord * stride]));
    if (klt || isSparse(f)) { rotate(); } else { centred = false; }
  }
  if (!centred || isSparse(f)) { return; }
  if (klt) { enterBasis(head); } else { rotate(); }
}

// The same of a value, whose scales' word is given.
fn loadValue(head: u32, f: Format, old: bool, oldFormat: Format, base: u32, stride: u32, scales: u32) {
  var turned = false;
  if (!old || oldFormat.valueBits == 16u) { loadRaw(old, base, stride, head * D + D / 2u); }
  else if (isSparse(oldFormat)) { loadSparse(base, stride, oldFormat.valueBits, valueScale(oldFormat, scales)); }
  else { loadCoded(base, stride, oldFormat.valueBits, valueScale(oldFormat, scales)); turned = true; }
  if (turned == isSparse(f)) { rotate(); }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let head = id.y;
  if (id.x >= step.numCandidates) { return; }
  let candidate = candidates[head * step.numCandidates + id.x];
  let option = candidate.z >> 28u;
  if (option == 0u) { return; }
  let index = candidate.z & 0x0FFFFFFFu;
  let f = info.formats[option - 1u];
  let list = head * info.numFormats + option - 1u;
  let start = select(table[T_HEADER + G * info.numFormats + list], list * (info.maxPages / G), info.mode == 0u);
  let place = Place(table[T_HEADER + 2u * G * info.numFormats + start + index / f.slots], index % f.slots, f.slots);
  let old = isInPages(candidate.x);
  let oldOption = select(0u, formatOf(candidate.x) + 1u, old);
  let oldFormat = info.formats[max(oldOption, 1u) - 1u];
  var keyBase = 0u;
  var valueBase = 0u;
  var stride = 1u;
  var last = 0u;
  if (old) {
    stride = oldFormat.slots;
    keyBase = pageOf(candidate.x) * info.pageWords + slotOf(candidate.x);
    valueBase = keyBase + oldFormat.keyWords * stride;
    last = lifted[keyBase + (oldFormat.words - 1u) * stride];
    if (oldOption == option) {
      for (var w = 0u; w < f.words; w++) { put(place, w, lifted[keyBase + w * stride]); }
      return;
    }
  } else {
    keyBase = (head * step.capacity + sourceRow(step, candidate.x)) * (D / 2u);
    valueBase = step.planeWords + keyBase;
    last = packMeta(incomingPosition(candidate.x), abs(bitcast<f32>(candidate.y)));
  }
  put(place, f.words - 1u, last);
  let stays = old && isSparse(oldFormat) && oldFormat.keyBits == f.keyBits; // codes of the channels that are kept
  var keyScales = vec2f(0.0);
  var valueScales = vec2f(0.0);
  if (f.keyBits == 16u) {
    for (var pair = 0u; pair < info.headSize / 2u; pair++) { if (old) { put(place, pair, lifted[keyBase + pair * stride]); } else { put(place, pair, source[keyBase + pair]); } }
  } else {
    loadKey(head, f, old, oldFormat, keyBase, stride);
    if (KLT && isKlt(f)) { keyScales.x = encodeKlt(place, head, f); }
    else if (isSparse(f)) { keyScales = encodeSparse(place, 0u, f, f.keyBits, stays, lifted[keyBase + oldFormat.keyScaleWord * stride]); }
    else { keyScales = encode(place, 0u, f.keyBits); }
  }
  let firstValue = f.keyWords;
  if (f.valueBits == 16u) {
    for (var pair = 0u; pair < info.headSize / 2u; pair++) { if (old) { put(place, firstValue + pair, lifted[valueBase + pair * stride]); } else { put(place, firstValue + pair, source[valueBase + pair]); } }
  } else {
    let scales = lifted[keyBase + oldFormat.valueScaleWord * stride]; // where there is an old format
    loadValue(head, f, old, oldFormat, valueBase, stride, scales);
    if (isSparse(f)) { valueScales = encodeSparse(place, firstValue, f, f.valueBits, stays, scales); } else { valueScales = encode(place, firstValue, f.valueBits); }
  }
  if (f.keyBits < 4u && f.valueBits < 4u) { put(place, f.keyScaleWord, pack2x16float(vec2f(keyScales.x, valueScales.x))); return; }
  if (f.keyBits != 16u) { put(place, f.keyScaleWord, pack2x16float(keyScales)); }
  if (f.valueBits != 16u) { put(place, f.valueScaleWord, pack2x16float(valueScales)); }
}
