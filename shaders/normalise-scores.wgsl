// normalise-scores: makes a head's scores sum to 1 over the prompt's slots past the sinks, and keeps the factor, by which later tokens' scores are
// multiplied: rate-distortion takes importance for attention. One workgroup per kv head; lanes stride over slots. Over lib/prompt-slots or lib/ring-slots.
override PROMPT: u32; // 1: finds the factor; 0: takes it
override G: u32;
override FIRST: u32;  // float at which the factors begin

@group(0) @binding(1) var<storage, read_write> importance: array<f32>;  // (G, slots)
@group(0) @binding(2) var<storage, read_write> factors: array<f32>;     // (FIRST + G)

alias Part = f32; // of lib/lanes

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * numSlots();
  var sum = 0.0;
  for (var slot = firstSlot() + lane; slot < numSlots(); slot += 64u) { sum += importance[base + slot]; }
  sum = added(sum, lane);
  var factor = select(1.0, 1.0 / sum, sum > 0.0); // a prompt of sinks alone has no scale
  if (PROMPT == 0u) { factor = factors[FIRST + group.x]; }
  for (var slot = firstSlot() + lane; slot < numSlots(); slot += 64u) { importance[base + slot] *= factor; }
  if (PROMPT == 1u && lane == 0u) { factors[FIRST + group.x] = factor; }
}
