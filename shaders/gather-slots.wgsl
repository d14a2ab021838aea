// gather-slots: lists what a compression judges: per kv head the slots already in pages, then the incoming ones, each with
// what the rate-distortion rule needs of it (methods 10.3): what dropping it costs, and the variance of its logit's error per unit of
// relative error. Pages are lifted into scratch first (lift-pages), so that the pool can be written anew. Lane = candidate.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<storage, read> table: array<u32>;            // with the means at info.meanStart
@group(0) @binding(3) var<storage, read> lifted: array<u32>;           // (pages of the layer, pageWords)
@group(0) @binding(4) var<storage, read> source: array<u32>;           // (2, G, capacity, D/2) f16 pairs
@group(0) @binding(5) var<storage, read> importance: array<f32>;       // (G, importanceStride), by row of the source
@group(0) @binding(6) var<storage, read> queryEnergy: array<f32>;      // (G): E|q|^2
@group(0) @binding(7) var<storage, read_write> candidates: array<vec4u>; // (G, numCandidates), see lib/compress-step
@group(0) @binding(8) var<storage, read_write> counts: array<u32>;     // (G)
// lib/bases may follow

// Energy of a coded vector: rotation keeps it. Of a sparse one, that of its kept channels.
fn codedEnergy(f: Format, page: u32, slot: u32, firstWord: u32, bits: u32, scale: vec2f) -> f32 {
  var sum = 0.0;
  var base = page * info.pageWords + firstWord * f.slots + slot;
  var words = codeWords(bits);
  if (isSparse(f)) { base += MASK_WORDS * f.slots; words = keptOf(f) * bits / 32u; }
  for (var w = 0u; w < words; w++) {
    let word = lifted[base + w * f.slots];
    for (var shift = 0u; shift < 32u; shift += 4u * bits) {
      let x = vec4f(scale.y) + scale.x * codes4(word, shift, bits);
      sum += dot(x, x);
    }
  }
  return sum;
}

// The same of a calibrated key, whose basis does not keep energy: each channel for itself, on average over its group; a group that is not
// stored as if its channels were as large as the key's scale says.
fn kltEnergy(head: u32, page: u32, slot: u32, f: Format) -> f32 {
  var sum = 0.0;
  let base = page * info.pageWords + slot;
  var at = 0u;                                         // bits
  for (var group = 0u; group < 4u; group++) {
    let bits = groupBits(f, group);
    var part = 0.0;
    for (var quad = 0u; quad < info.headSize / 16u; quad++) {
      if (bits == 0u) { part += 4.0; continue; }
      let x = groupStep(bits) * (codes4(lifted[base + (at / 32u) * f.slots], at % 32u, bits) - middle(bits));
      part += dot(x, x);
      at += 4u * bits;
    }
    sum += groupLength(head, group) * part;
  }
  let scale = unpack2x16float(lifted[base + f.keyScaleWord * f.slots]).x;
  return scale * scale * sum;
}

// Energy of a raw vector without its mean; stride 0: in the source, else in the lifted pages.
fn rawEnergy(base: u32, stride: u32, meanBase: u32) -> f32 {
  var sum = 0.0;
  for (var pair = 0u; pair < info.headSize / 2u; pair++) {
    var word: u32;
    if (stride == 0u) { word = source[base + pair]; } else { word = lifted[base + pair * stride]; }
    let x = unpack2x16float(word) - unpack2x16float(table[info.meanStart + meanBase + pair]);
    sum += dot(x, x);
  }
  return sum;
}

fn isPinned(position: u32) -> bool {
  for (var i = 0u; i < info.numPinned; i++) {
    if (position >= info.pinned[i].x && position < info.pinned[i].y) { return true; }
  }
  return false;
}

fn candidate(place: u32, head: u32, position: u32, importance: f32, energies: vec2f) -> vec4u {
  let p = max(importance, 1e-30);
  let sign = select(0u, 0x80000000u, isPinned(position));
  return vec4u(place, bitcast<u32>(p) | sign, bitcast<u32>(energies.x * queryEnergy[head] / f32(D * D)), bitcast<u32>(pow(p + recentMass(step, position), info.power) * energies.y));
}

// A guest has come for a slot, in more bits than pages have it in, and waits until it is dropped.
fn isAwaited(head: u32, position: u32) -> bool {
  for (var guest = 0u; guest < info.guests; guest++) {
    if (table[guestPositionAt(head, guest)] == (position | WAITING)) { return true; }
  }
  return false;
}

// Energies of the centred key and value of the j-th incoming slot.
fn incomingEnergies(head: u32, row: u32) -> vec2f {
  let base = (head * step.capacity + row) * (D / 2u);
  return vec2f(rawEnergy(base, 0u, head * D), rawEnergy(step.planeWords + base, 0u, head * D + D / 2u));
}

// The same of a slot that stands in a lifted page.
fn existingEnergies(head: u32, format: Format, page: u32, slot: u32) -> vec2f {
  let base = page * info.pageWords + slot;
  let valueWord = format.keyWords;
  var energies: vec2f;
  if (format.keyBits == 16u) { energies.x = rawEnergy(base, format.slots, head * D); }
  else if (KLT && isKlt(format)) { energies.x = kltEnergy(head, page, slot, format); }
  else { energies.x = codedEnergy(format, page, slot, 0u, format.keyBits, keyScale(format, lifted[base + format.keyScaleWord * format.slots])); }
  if (format.valueBits == 16u) { energies.y = rawEnergy(base + valueWord * format.slots, format.slots, head * D + D / 2u); }
  else { energies.y = codedEnergy(format, page, slot, valueWord, format.valueBits, valueScale(format, lifted[base + format.valueScaleWord * format.slots])); }
  return energies;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let head = id.y;
  var existing = 0u;
  if (step.rebuild == 1u) {
    for (var f = 0u; f < info.numFormats; f++) { existing += table[T_HEADER + head * info.numFormats + f]; }
  }
  let total = existing + step.numNew;
  if (id.x == 0u) { counts[head] = total; }
  if (id.x >= step.numCandidates) { return; }
  let at = head * step.numCandidates + id.x;
  if (id.x >= total) { candidates[at] = vec4u(0u); return; }
  if (id.x >= existing) {
    let j = id.x - existing;
    let row = sourceRow(step, j);
    var p = 1.0;
    if (step.uniformImportance == 0u) { p = importance[head * step.importanceStride + row]; }
    candidates[at] = candidate(j, head, incomingPosition(j), p, incomingEnergies(head, row));
    return;
  }
  var index = id.x;
  var f = 0u;
  loop {
    let length = table[T_HEADER + head * info.numFormats + f];
    if (index < length) { break; }
    index -= length;
    f++;
  }
  let format = info.formats[f];
  let page = table[T_HEADER + (G + head) * info.numFormats + f] + index / format.slots; // ordinal in the layer's list = place in scratch
  let slot = index % format.slots;
  let word = lifted[page * info.pageWords + slot + (format.words - 1u) * format.slots];
  candidates[at] = candidate(placeInPages(f, page, slot), head, metaPosition(word), metaImportance(word), existingEnergies(head, format, page, slot));
  if (metaHeld(word)) { candidates[at].w |= HELD; }
  if (isAwaited(head, metaPosition(word))) { candidates[at].z |= TAKEN_OVER; }
}
