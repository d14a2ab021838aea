// ring-redundancy: R-KV's score of the ring's tokens on the prompt's scale. A key's mean cosine is that with the prompt's mean unit key; the latest of those
// alike in the ring is let off all of it. One workgroup per (64 slots, kv head); lane = slot. Over lib/ring-slots.
override D: u32;
override HALF: u32;     // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)
override LAMBDA: f32;
override RECEIVED: u32; // 0: nobody counts the attention that the ring gets

@group(0) @binding(1) var<storage, read> keys: array<Quad>;             // (G, SLOTS, D/4)
@group(0) @binding(2) var<storage, read> moments: array<Four>;          // of this layer, see lib/moments-f16
@group(0) @binding(3) var<storage, read> received: array<f32>;          // (G, SLOTS): mean attention since its own token
@group(0) @binding(4) var<storage, read_write> importance: array<f32>;  // (G, SLOTS)

const SIMILAR = 0.5;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let head = id.y;
  if (slot >= SLOTS) { return; }
  let at = head * SLOTS + slot;
  if (!isScored(slot)) { importance[at] = 0.0; return; }
  let record = recordOf(head);
  let length = max(sqrt(product(at, at)), 1e-15);
  var latest = true;
  for (var newer = positionOf(slot) + 1u; newer < step.firstPosition && latest; newer++) {
    let other = head * SLOTS + rowOf(newer);
    latest = product(at, other) <= SIMILAR * length * sqrt(product(other, other));
  }
  var cosine = 0.0;
  if (!latest) {
    for (var n = 0u; n < fours(); n++) {
      let key = fourPairs(at * (D / 4u), n);
      let x = unpackFour(moments[record + KEY_X * (D / 8u) + n]);
      let y = unpackFour(moments[record + KEY_Y * (D / 8u) + n]);
      cosine += (dot(key.x, x) + dot(key.y, y)) / length;
    }
  }
  let ofPrompt = bitcast<vec2f>(moments[record + SCALARS * (D / 8u)]); // what redundancy left: n C, mean exp
  var score = (1.0 - LAMBDA) * max(ofPrompt.x - exp(cosine) / ofPrompt.y, 0.0);
  let seen = bitcast<f32>(moments[record + SCALARS * (D / 8u) + 1u].y) + f32(SINKS); // tokens
  if (RECEIVED == 1u) { score += LAMBDA * received[at] * seen; }
  importance[at] = score;
}

// D/4, as a bound that compilers cannot unroll.
fn quads() -> u32 { return min(D / 4u, arrayLength(&keys)); }

fn product(a: u32, b: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < quads(); i++) { sum += dot(unpackQuad(keys[a * (D / 4u) + i]), unpackQuad(keys[b * (D / 4u) + i])); }
  return sum;
}
