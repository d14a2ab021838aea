// slot-scores: importance of every slot from its position, or from its key or value alone. One workgroup per (64 slots, kv head); lane = slot.
// Every score is a positive and rising function of the published one. Over lib/prompt-slots or lib/ring-slots.
override D: u32;
override HALF: u32;   // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)
override METHOD: u32; // 0 position, 1 random, 2 1/|k|, 3 |v|, 4 1 - cos(k, mean unit key), 5 along a direction
override SEED: u32;

@group(0) @binding(1) var<storage, read> keys: array<Quad>;             // (G, rows, D/4)
@group(0) @binding(2) var<storage, read> values: array<Quad>;           // (G, rows, D/4)
@group(0) @binding(3) var<storage, read> anchors: array<Four>;          // method 4: the moments; method 5: directions (L or 1, G, D/4)
@group(0) @binding(4) var<uniform> layer: vec4u;                        // (layer, kv heads times the layer where directions are of all, -, -)
@group(0) @binding(5) var<storage, read_write> importance: array<f32>;  // (G, slots)

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let head = id.y;
  if (slot >= numSlots()) { return; }
  var score = 0.0;
  if (isScored(slot)) { score = scoreOf(slot, head); }
  importance[head * numSlots() + slot] = score;
}

fn scoreOf(slot: u32, head: u32) -> f32 {
  let row = (head * numRows() + slot) * (D / 4u);
  switch METHOD {
    // Stored importance has 4,096 levels over 32 octaves: spread so that at position p one level is 2 (1 + p / 8192)^2 tokens.
    case 0u: { let p = f32(positionOf(slot)); return exp2(32.0 * p / (p + 8192.0) - 28.0); }
    case 1u: { return randomScore(head, positionOf(slot)); }
    case 2u: { return 1.0 / max(sqrt(keyEnergy(row)), 1e-6); }
    case 3u: {
      var energy = 0.0;
      for (var i = 0u; i < quads(); i++) { let v = unpackQuad(values[row + i]); energy += dot(v, v); }
      return sqrt(energy);
    }
    case 4u: { return max(1.0 - anchorCosine(row, head), 0.0); }
    default: { // any product fits the levels that can be stored: 2^-27 to 2^3
      var along = 0.0;
      for (var i = 0u; i < quads(); i++) {
        along += dot(unpackQuad(keys[row + i]), unpackFour(anchors[(layer.y + head) * (D / 4u) + i]));
      }
      along *= inverseSqrt(f32(D));
      return exp2(15.0 * along / (abs(along) + 8.0) - 12.0);
    }
  }
}

// D/4, as a bound that compilers cannot unroll.
fn quads() -> u32 { return min(D / 4u, arrayLength(&keys)); }

fn keyEnergy(row: u32) -> f32 {
  var energy = 0.0;
  for (var i = 0u; i < quads(); i++) { let k = unpackQuad(keys[row + i]); energy += dot(k, k); }
  return energy;
}

// Cosine with the mean unit key, which stands in the head's moments in the order of RoPE pairs: all x, then all y.
fn anchorCosine(row: u32, head: u32) -> f32 {
  let first = recordOf(head);
  var near = 0.0;
  var anchorEnergy = 0.0;
  for (var n = 0u; n < fours(); n++) {
    let key = fourPairs(row, n);
    let x = unpackFour(anchors[first + KEY_X * (D / 8u) + n]);
    let y = unpackFour(anchors[first + KEY_Y * (D / 8u) + n]);
    near += dot(key.x, x) + dot(key.y, y);
    anchorEnergy += dot(x, x) + dot(y, y);
  }
  return near * inverseSqrt(max(keyEnergy(row) * anchorEnergy, 1e-30));
}

// The upper 23 bits of a hash of (seed, layer, head, position), plus a half, over 2^23: exact, never 0 or 1.
fn randomScore(head: u32, position: u32) -> f32 {
  let hash = pcg(position + pcg(head + pcg(layer.x + pcg(SEED))));
  return (f32(hash >> 9u) + 0.5) / 8388608.0;
}
