// cache: what every kernel of the paged cache shares. Needs lib/half.wgsl and the literals D (head size) and G (kv heads).

struct Format {
  keyBits: u32,        // of a channel; calibrated keys: on average, rounded down
  valueBits: u32,
  words: u32,          // of a slot
  slots: u32,          // of a page
  relativeKey: f32,    // squared error of a key after rounding, relative to |k - mean|^2
  relativeValue: f32,
  threshold: f32,      // tiers: importance relative to uniform from which a slot gets this format
  bytes: f32,          // of a slot, its share of the page's left-over included
  keyGroups: u32,      // calibrated keys: bits of the four groups of channels, a byte each, the first lowest; 0: keys in a Hadamard basis;
                       // sparse slots: the top bit, and the channels kept of every vector
  keyWords: u32,       // of the key's codes, which come first; the value's follow. A sparse vector's mask stands before its codes
  keyScaleWord: u32,   // where the scales stand, from the start of a slot
  valueScaleWord: u32,
}

struct CacheInfo {
  pinned: array<vec4u, 4>,   // (start, end, -, -): never dropped, floor k8v8
  formats: array<Format, 10>, // by rising bytes
  numFormats: u32,
  mode: u32,           // 0 static (one format, nothing dropped), 1 tiers, 2 rate-distortion
  perHead: u32,        // 1: every head has its own threshold; 0: heads of a layer compete
  safeguard: f32,      // share of the pages that is divided evenly before heads compete
  sinks: u32,
  ringSlots: u32,
  pageWords: u32,
  numPinned: u32,
  kappa: f32,          // rate-distortion: damage of a logit error that saturates
  power: f32,          // rate-distortion: weight = importance^power
  maxPages: u32,       // of one layer
  headSize: u32,       // D and G again: as bounds of long loops, so that compilers do not unroll them
  kvHeads: u32,
  ringPlane: u32,      // words from the keys to the values of a layer's sinks and ring
  recency: f32,        // rate-distortion: attention that goes to recent tokens whoever they are, as part of all
  meanStart: u32,      // words from a layer's table to its mean keys and values, (G, 2, D/2) f16 pairs
  deviations: f32,     // 4 and 8 bits: deviations from the mean that the outermost codes stand for; 0: they stand for the extremes
  recencySpan: f32,    // tokens over which what a recent token gets is halved
  guests: u32,         // rows of a kv head for what the host brings back
  markers: u32,
  extraStart: u32,     // words from a layer's table to its extra rows, markers, then guests (lib/extra-rows)
  plainMarkers: u32,   // 1: markers say nothing of what they stand for
  holds: u32,          // 1: importance is re-evaluated while decoding, and slots that it holds are not demoted
  guestBits: u32,      // of a guest's channel: 8 or 4
  ringBits: u32,       // of a channel of sinks and ring: 16, or 8: coded as guests are
}

// One layer's table: header, then lengths and starts by (head, format), then page ids list by list.
const T_BUDGET = 0u;
const T_USED = 1u;
const T_LAYER = 2u;
const T_RING = 3u;     // position of the oldest token in the ring; nothing below the sinks' number
const T_HEADER = 4u;

// A slot's last word: position in 19 bits; one bit for slots that are held (reevaluate); importance in 12 (log2, 1/128 octave, from 2^-28).
fn packMeta(position: u32, importance: f32) -> u32 {
  let level = clamp((log2(max(importance, 1e-30)) + 28.0) * 128.0, 0.0, 4095.0);
  return position | (u32(level + 0.5) << 20u);
}
fn metaPosition(word: u32) -> u32 { return word & 0x7FFFFu; }
fn metaHeld(word: u32) -> bool { return (word & META_HELD) != 0u; }
const META_HELD = 0x80000u;
fn metaImportance(word: u32) -> f32 { return exp2(f32(word >> 20u) / 128.0 - 28.0); }

// Words of a vector's codes where all channels have the same bits.
fn codeWords(bits: u32) -> u32 { return D * bits / 32u; }

fn isKlt(f: Format) -> bool { return f.keyGroups != 0u && f.keyGroups < 0x80000000u; }
fn isSparse(f: Format) -> bool { return SPARSE && f.keyGroups >= 0x80000000u; }
fn keptOf(f: Format) -> u32 { return f.keyGroups & 0xFFFFu; }
const MASK_WORDS = (D + 31u) / 32u;
fn groupBits(f: Format, group: u32) -> u32 { return (f.keyGroups >> (8u * group)) & 255u; }

// Calibrated keys: distance of the even levels of a channel of variance 1 that has 4 or 2 bits; least error for a Gaussian.
fn groupStep(bits: u32) -> f32 { return select(0.995, 0.3352, bits == 4u); }
// Codes lie around this one.
fn middle(bits: u32) -> f32 { return 0.5 * f32((1u << bits) - 1u); }

// (scale, zero): value = zero + scale * code. Two bits and one keep the scale alone: codes 0..3 stand for -1.5, -0.5, 0.5, 1.5 scales.
// Calibrated keys keep theirs alone too; the zero then multiplies the sum of the query's channels times their middles.
fn keyScale(f: Format, word: u32) -> vec2f {
  let pair = unpack2x16float(word);
  if (isKlt(f)) { return vec2f(pair.x, -pair.x); }
  return select(pair, vec2f(pair.x, -middle(f.keyBits) * pair.x), f.keyBits < 4u);
}
fn valueScale(f: Format, word: u32) -> vec2f {
  let pair = unpack2x16float(word);
  let scale = select(pair.x, pair.y, f.keyBits < 4u);   // beside the key's lone one
  return select(pair, vec2f(scale, -middle(f.valueBits) * scale), f.valueBits < 4u);
}

// Four codes of `bits` (1, 2, 4 or 8), the lowest first.
fn codes4(word: u32, shift: u32, bits: u32) -> vec4f {
  let mask = (1u << bits) - 1u;
  let w = word >> shift;
  return vec4f(vec4u(w & mask, (w >> bits) & mask, (w >> (2u * bits)) & mask, (w >> (3u * bits)) & mask));
}
