// combine-scores: raises importance to another score where that is larger, or adds a part of it; the other scaled to sum 1 over a head's slots past the sinks.
// One workgroup per kv head; lanes stride over slots.
override PART: f32; // what is added of the other; 0: the larger of both

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> other: array<f32>;             // (G, tokens)
@group(0) @binding(2) var<storage, read_write> importance: array<f32>;  // (G, tokens)

alias Part = f32; // of lib/lanes

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * params.tokens;
  var sum = 0.0;
  for (var t = params.sinks + lane; t < params.tokens; t += 64u) { sum += other[base + t]; }
  let scale = 1.0 / max(added(sum, lane), 1e-30);
  for (var t = params.sinks + lane; t < params.tokens; t += 64u) {
    let scaled = other[base + t] * scale;
    let own = importance[base + t];
    importance[base + t] = select(max(own, scaled), own + PART * scaled, PART > 0.0);
  }
}
