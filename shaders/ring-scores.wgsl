// ring-scores: importance of the ring's tokens, on the scale of the prompt's: what a prompt slot with the same key would have got from the
// condensed moments under the average rotation of the positions that now come. One workgroup per (64 slots, kv head); lane = slot.
override D: u32;
override HALF: u32;        // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)
override SLOTS: u32;       // of the ring, per head
override ENSEMBLE: u32;    // 1: EA/2 + diversity/2; 0: (EA + EPSILON) |v|
override VALUE_NORM: u32;
override EPSILON: f32;

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> keys: array<Quad>;               // (G, SLOTS, D/4)
@group(0) @binding(2) var<storage, read> values: array<Quad>;             // (G, SLOTS, D/4)
@group(0) @binding(3) var<storage, read> moments: array<Four>;            // of this layer, see lib/moments-f16
@group(0) @binding(4) var<storage, read> rotation: array<vec4f>;          // (D/4): two pairs of (mean cos, mean sin)
@group(0) @binding(5) var<storage, read_write> importance: array<f32>;    // (G, SLOTS): 0 past the ring's length

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let head = id.y;
  if (slot >= SLOTS) { return; }
  let row = (head * SLOTS + slot) * (D / 4u);
  if (slot >= step.ringLength) {
    importance[head * SLOTS + slot] = 0.0;
    return;
  }
  let found = keyTerms(row, head);
  let scalars = bitcast<vec2f>(moments[recordOf(head) + SCALARS * (D / 8u)]);
  let expected = exp(min(found.logit - scalars.x, 0.0)); // no token gets more than all of the prompt's attention
  var score = expected;
  if (ENSEMBLE == 1u) {
    score = 0.5 * expected + 0.5 * found.diversity / scalars.y;
  } else if (VALUE_NORM == 1u) {
    var energy = 0.0;
    for (var i = 0u; i < D / 4u; i++) {
      let v = unpackQuad(values[row + i]);
      energy += dot(v, v);
    }
    score = (expected + EPSILON) * sqrt(energy);
  }
  importance[head * SLOTS + slot] = score;
}
