// norm-out: the part of the following RMS norm that can be done where its input is written: y times the gain, and the sum of y's squares.
// norm-in does the rest.
override FIRST_GROUP: u32 = 0u;  // workgroups of the dispatches before, where the rows lie in several shards

@group(0) @binding(5) var<storage, read> gain: array<f32>;           // (OUT_COLS)
@group(0) @binding(6) var<storage, read_write> scaled: array<f32>;   // (OUT_COLS)
@group(0) @binding(7) var<storage, read_write> squares: array<f32>;  // one a workgroup

var<private> energy: f32;
var<workgroup> energies: array<f32, WG>;

fn inputScale() -> f32 { return 1.0; }

// Once for every element, after finish().
fn passOn(column: u32, value: f32) {
  scaled[OUT_FIRST + column] = value * gain[OUT_FIRST + column];
  energy += value * value;
}

// Once for every lane of the workgroup, after its elements; lanes from WG on own none.
fn passEnergy(lane: u32, group: u32) {
  if (lane < WG) { energies[lane] = energy; }
  workgroupBarrier();
  if (lane > 0u) { return; }
  var sum = 0.0;
  for (var i = 0u; i < WG; i++) { sum += energies[i]; }
  squares[FIRST_GROUP + group] = sum;
}
