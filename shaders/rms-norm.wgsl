// rms-norm: rows of the hidden states over their root mean square, times the gain. One workgroup a row.
override WG: u32;
override C: u32;                 // columns, a multiple of 4
override EPSILON: f32;
override LAST: bool = false;     // only the step's last token, written to row 0

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> hidden: array<vec4f>;         // (rows, C / 4)
@group(0) @binding(2) var<storage, read> gain: array<vec4f>;           // (C / 4)
@group(0) @binding(3) var<storage, read_write> normed: array<vec4f>;   // (chunk, C / 4)

var<workgroup> partial: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = (step.firstRow + select(group.x, step.tokens - 1u, LAST)) * (C / 4u);
  var squares = 0.0;
  for (var i = lane; i < C / 4u; i += WG) {
    let value = hidden[row + i];
    squares += dot(value, value);
  }
  partial[lane] = squares;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < WG; i++) { sum += partial[i]; }
  let scale = inverseSqrt(sum / f32(C) + EPSILON);
  for (var i = lane; i < C / 4u; i += WG) {
    normed[group.x * (C / 4u) + i] = hidden[row + i] * scale * gain[i];
  }
}
