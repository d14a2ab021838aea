// hot-slots: which positions one layer's pages hold, a bit each, which of them in fewer bits than a guest has, and whose importance of these rose when it was judged
// anew (reevaluate). The buffer is zero before. One workgroup per (kv head, format); lane = slot.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> hot: array<atomic<u32>>; // (3, G, words): held, demoted, risen

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let list = group.x;
  let head = list / info.numFormats;
  let format = info.formats[list % info.numFormats];
  let lists = G * info.numFormats;
  let first = T_HEADER + 2u * lists + select(table[T_HEADER + lists + list], list * (info.maxPages / G), info.mode == 0u);
  let words = arrayLength(&hot) / (3u * G);
  let demoted = isSparse(format) || format.keyBits + format.valueBits < 2u * info.guestBits;
  let count = table[T_HEADER + list];
  for (var s = lane; s < count; s += WG) {
    let page = table[first + s / format.slots];
    let word = poolWord(page, (format.words - 1u) * format.slots + s % format.slots);
    let position = metaPosition(word);
    let bit = 1u << (position % 32u);
    atomicOr(&hot[head * words + position / 32u], bit);
    if (demoted) { atomicOr(&hot[(G + head) * words + position / 32u], bit); }
    if (demoted && metaHeld(word)) { atomicOr(&hot[(2u * G + head) * words + position / 32u], bit); }
  }
}
