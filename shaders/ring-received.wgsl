// ring-received: importance of the ring's tokens from the attention they received since they were written, as finish-score makes it of a prompt's.
// One workgroup per (64 rows, kv head); lane = row. Over lib/ring-slots.
override G: u32;
override D: u32;
override SHARED: u32;   // 1: mean over the layer's kv heads
override SUMMED: u32;   // 1: what all queries so far paid, over their number; 0: the mean since the token's own
override PART: f32;     // of what was received
override DISTANCE: f32; // divided by P(d) = (1 + d)^-DISTANCE, d positions before the next token; 0: not
override WEIGHED: u32;  // times a norm, EPSILON added before: 0 none, 1 |v|, 2 norms[row]
override EPSILON: f32;

@group(0) @binding(1) var<storage, read> received: array<f32>;          // (G, SLOTS): mean per query since a row's own
@group(0) @binding(2) var<storage, read> values: array<Quad>;           // (G, SLOTS, D/4)
@group(0) @binding(3) var<storage, read> norms: array<f32>;             // (G, SLOTS)
@group(0) @binding(4) var<storage, read_write> importance: array<f32>;  // (G, SLOTS): 0 where there is no token

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let slot = id.x;
  let head = id.y;
  if (slot >= SLOTS) { return; }
  let at = head * SLOTS + slot;
  if (!isScored(slot)) {
    importance[at] = 0.0;
    return;
  }
  var score = received[at];
  if (SHARED == 1u) {
    score = 0.0;
    for (var g = 0u; g < G; g++) { score += received[g * SLOTS + slot] / f32(G); }
  }
  let queries = f32(ageOf(slot) + 1u);
  if (SUMMED == 1u) { score *= queries / f32(step.firstPosition); }
  score *= PART;
  if (DISTANCE > 0.0) { score *= pow(1.0 + queries, DISTANCE); }
  if (WEIGHED == 1u) {
    var energy = 0.0;
    for (var i = 0u; i < D / 4u; i++) {
      let v = unpackQuad(values[at * (D / 4u) + i]);
      energy += dot(v, v);
    }
    score = (score + EPSILON) * sqrt(energy);
  }
  if (WEIGHED == 2u) { score = (score + EPSILON) * norms[at]; }
  importance[at] = score;
}
