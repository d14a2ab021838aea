// chunk-bounds: smallest and largest key of every chunk of a kv head's list, channel by channel, from what the pages hold: after every
// compression of the layer, for the chunks it touched. Coded keys are decoded first, so the bounds are of the keys that attention sees.
// Rounded outward, for hybrid sparse attention to f16, for Quest to 8 bits: no product with a query exceeds them. One workgroup per (pair of chunks, kv head). Sources: methods 2.8, 2.14.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<uniform> reading: ReadInfo;
@group(0) @binding(3) var<storage, read> table: array<u32>;
@group(0) @binding(4) var<storage, read_write> bounds: array<u32>;    // sparse: (G, 2, D, pairs), smallest, then largest, two chunks' f16 a word;
                                                                      // else (G, D + 1, pairs): two chunks' smallest and largest, a byte each; last their scales
@group(0) @binding(5) var<storage, read_write> selection: array<u32>;
// then the pool at POOL

const MINE = (D + WG - 1u) / WG;                       // channels of a lane
// lib/turn-channels holds the BATCH slots that are decoded at once
alias Part = f32; // of lib/lanes

fn firstPage(head: u32) -> u32 { return T_HEADER + 2u * G + select(table[T_HEADER + G + head], head * (info.maxPages / G), info.mode == 0u); }

// Channel c of the key in a slot: as it is, or centred and turned where it is coded.
fn channelOf(page: u32, slot: u32, c: u32) -> f32 {
  let f = info.formats[0];
  if (f.keyBits == 16u) { return unpack2x16float(poolWord(page, (c / 2u) * f.slots + slot))[c % 2u]; }
  let code = (poolWord(page, (c * f.keyBits / 32u) * f.slots + slot) >> ((c * f.keyBits) % 32u)) & ((1u << f.keyBits) - 1u);
  let scale = keyScale(f, poolWord(page, f.keyScaleWord * f.slots + slot));
  return scale.y + scale.x * f32(code);
}

// The largest number of f16 that is at most x; packing it is then exact, whichever way pack2x16float rounds (lib/half).
fn below(x: f32) -> f32 {
  if (abs(x) < 6.1035156e-5) { return select(0.0, -6.1035156e-5, x < 0.0); } // 2^-14: below that f16 has fewer digits
  let bits = bitcast<u32>(x);
  let cut = bits & 0xFFFFE000u;
  return bitcast<f32>(select(cut, cut + 0x2000u, x < 0.0 && cut != bits));
}

fn halfBits(x: f32) -> u32 { return pack2x16float(vec2f(x, 0.0)) & 0xFFFFu; }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let length = table[T_HEADER + head];
  let untouched = select(length - min(length, step.numNew), 0u, step.rebuild == 1u);
  let pair = untouched / (2u * reading.span) + group.x;
  if (group.x == 0u && lane == 0u) { selection[head * reading.stride + S_VALID] = 0u; }
  let f = info.formats[0];
  let pages = firstPage(head);
  let turned = f.keyBits != 16u;
  var packed = array<vec2u, MINE>();
  var scales = 0u;
  for (var part = 0u; part < 2u; part++) {
    let first = (2u * pair + part) * reading.span;
    let count = min(reading.span, length - min(length, first));
    var least: array<f32, MINE>;
    var most: array<f32, MINE>;
    for (var m = 0u; m < MINE; m++) { least[m] = 6e4; most[m] = -6e4; }
    for (var begin = 0u; begin < reading.span; begin += BATCH) {
      for (var i = lane; i < BATCH * D; i += WG) {
        let s = begin + i / D;
        if (s < count) { channels[i] = channelOf(table[pages + (first + s) / f.slots], (first + s) % f.slots, i % D); }
      }
      workgroupBarrier();
      if (turned) { turnChannels(lane); }
      for (var m = 0u; m < MINE; m++) {
        let c = lane + m * WG;
        if (c >= D) { break; }
        var add = 0.0;
        if (turned) { add = unpack2x16float(table[info.meanStart + head * D + c / 2u])[c % 2u]; }
        for (var s = 0u; s < min(BATCH, count - min(count, begin)); s++) {
          let k = channels[s * D + c] + add;
          least[m] = min(least[m], k);
          most[m] = max(most[m], k);
        }
      }
      workgroupBarrier();
    }
    if (reading.sparse == 1u) {
      for (var m = 0u; m < MINE; m++) { packed[m] |= vec2u(halfBits(below(least[m])), halfBits(-below(-most[m]))) << vec2u(16u * part); }
      continue;
    }
    var size = 0.0;
    for (var m = 0u; m < MINE && lane + m * WG < D; m++) { size = max(size, max(abs(least[m]), abs(most[m]))); }
    let scale = -below(-max(highest(size, lane), 1e-6) / MOST_UNITS);
    scales |= halfBits(scale) << (16u * part);
    for (var m = 0u; m < MINE; m++) { packed[m].x |= (boundCode(least[m], scale, false) | (boundCode(most[m], scale, true) << 8u)) << (16u * part); }
  }
  if (pair >= reading.pairs) { return; }
  if (reading.sparse == 0u && lane == 0u) { bounds[(head * (D + 1u) + D) * reading.pairs + pair] = scales; }
  for (var m = 0u; m < MINE; m++) {
    let c = lane + m * WG;
    if (c >= D) { break; }
    if (reading.sparse == 0u) {
      bounds[(head * (D + 1u) + c) * reading.pairs + pair] = packed[m].x;
      continue;
    }
    bounds[(head * 2u * D + c) * reading.pairs + pair] = packed[m].x;
    bounds[(head * 2u * D + D + c) * reading.pairs + pair] = packed[m].y;
  }
}
