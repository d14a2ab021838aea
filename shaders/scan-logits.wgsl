// scan-logits: penalises tokens seen recently (in place) and finds each slice's largest logit. One workgroup a slice.
override WG: u32;
override V: u32;                 // vocabulary
override SLICE: u32;             // logits per workgroup
override WINDOW: u32;            // recent ids, at most WG

@group(0) @binding(0) var<uniform> sampling: Sampling;
@group(0) @binding(1) var<storage, read> recent: array<u32>;           // (WINDOW) ids, 0xFFFFFFFF where there is none
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;     // (V)
@group(0) @binding(3) var<storage, read_write> slices: array<Best>;    // (slices)

var<workgroup> lanes: array<Best, WG>;

/** Each id once, however often it was seen; ids of other slices are theirs. */
fn penalise(lane: u32, first: u32, end: u32) {
  if (lane >= WINDOW) { return; }
  let id = recent[lane];
  if (id < first || id >= end) { return; }
  for (var i = 0u; i < lane; i++) {
    if (recent[i] == id) { return; }
  }
  let logit = logits[id];
  logits[id] = select(logit * sampling.repetitionPenalty, logit / sampling.repetitionPenalty, logit > 0.0);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * SLICE;
  let end = min(first + SLICE, V);
  if (sampling.repetitionPenalty != 1.0) { penalise(lane, first, end); }
  storageBarrier();
  workgroupBarrier();
  var best = Best(-3.4e38, 0xFFFFFFFFu, 0u);
  for (var id = first + lane; id < end; id += WG) {
    let logit = logits[id];
    // A compiler may take NaN and infinity for absent, so their bits are tested, not their values.
    best.bad |= select(0u, 1u, (bitcast<u32>(logit) & 0x7F800000u) == 0x7F800000u);
    if (logit > best.logit) { best = Best(logit, id, best.bad); }
  }
  lanes[lane] = best;
  workgroupBarrier();
  if (lane > 0u) { return; }
  for (var i = 1u; i < WG; i++) { best = better(best, lanes[i]); }
  slices[group.x] = best;
}
