// gather-slots: lists what a compression judges: per kv head the slots already in pages, then the incoming ones, each with
// its importance and the energy of its centred key and value. Pages are lifted into scratch first (lift-pages), so that the
// pool can be written anew. Lane = candidate.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> lifted: array<u32>;           // (pages of the layer, pageWords)
@group(0) @binding(4) var<storage, read> source: array<u32>;           // (2, G, capacity, D/2) f16 pairs
@group(0) @binding(5) var<storage, read> means: array<u32>;            // (G, 2, D/2) f16 pairs
@group(0) @binding(6) var<storage, read> importance: array<f32>;       // (G, importanceStride), by row of the source
@group(0) @binding(7) var<storage, read_write> candidates: array<vec4u>; // (G, numCandidates): source, importance (negative: pinned), |k-m|^2, |v-m|^2
@group(0) @binding(8) var<storage, read_write> counts: array<u32>;     // (G)

// Energy of a coded vector: rotation keeps it.
fn codedEnergy(page: u32, slot: u32, slots: u32, firstWord: u32, bits: u32, scale: vec2f) -> f32 {
  var sum = 0.0;
  let base = page * info.pageWords + firstWord * slots + slot;
  for (var w = 0u; w < codeWords(bits); w++) {
    let word = lifted[base + w * slots];
    for (var shift = 0u; shift < 32u; shift += 4u * bits) {
      let x = vec4f(scale.y) + scale.x * codes4(word, shift, bits);
      sum += dot(x, x);
    }
  }
  return sum;
}

fn rawEnergy(base: u32, stride: u32, meanBase: u32) -> f32 {
  var sum = 0.0;
  for (var pair = 0u; pair < D / 2u; pair++) {
    let x = unpack2x16float(select(source[base + pair], lifted[base + pair * stride], stride > 0u)) - unpack2x16float(means[meanBase + pair]);
    sum += dot(x, x);
  }
  return sum;
}

// The sign of the importance says that the position lies in a pinned span.
fn marked(p: f32, position: u32) -> u32 {
  for (var i = 0u; i < info.numPinned; i++) {
    if (position >= info.pinned[i].x && position < info.pinned[i].y) { return bitcast<u32>(p) | 0x80000000u; }
  }
  return bitcast<u32>(p);
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
  if (id.x >= total) { return; }
  let at = head * step.numCandidates + id.x;
  let meanBase = head * D;
  if (id.x >= existing) {
    let j = id.x - existing;
    let row = sourceRow(step, j);
    let base = (head * step.capacity + row) * (D / 2u);
    let p = select(importance[head * step.importanceStride + row], 1.0, step.uniformImportance == 1u);
    let key = rawEnergy(base, 0u, meanBase);
    let value = rawEnergy(step.planeWords + base, 0u, meanBase + D / 2u);
    candidates[at] = vec4u(j, marked(p, step.firstPosition + j), bitcast<u32>(key), bitcast<u32>(value));
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
  let base = page * info.pageWords + slot;
  var key: f32;
  var value: f32;
  let valueWord = codeWords(format.keyBits);
  if (format.keyBits == 16u) { key = rawEnergy(base, format.slots, meanBase); }
  else { key = codedEnergy(page, slot, format.slots, 0u, format.keyBits, keyScale(format, lifted[base + keyScaleWord(format) * format.slots])); }
  if (format.valueBits == 16u) { value = rawEnergy(base + valueWord * format.slots, format.slots, meanBase + D / 2u); }
  else { value = codedEnergy(page, slot, format.slots, valueWord, format.valueBits, valueScale(format, lifted[base + valueScaleWord(format) * format.slots])); }
  let meta = lifted[base + (format.words - 1u) * format.slots];
  candidates[at] = vec4u(0x80000000u | (f << 27u) | (page << 12u) | slot, marked(metaImportance(meta), metaPosition(meta)), bitcast<u32>(key), bitcast<u32>(value));
}
