// importance-levels: how many of a prompt's candidates in one layer have at least each level of importance, head by head; pinned ones have the highest.
// A level is two of the stored ones, 1/64 of an octave. One workgroup per kv head; lanes stride over candidates, then over levels. Integers only.
const LEVELS = 2048u;

@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<storage, read> importance: array<f32>;        // (G, importanceStride), by row of the source
@group(0) @binding(3) var<storage, read_write> levels: array<u32>;      // (G, LEVELS) of this layer

var<workgroup> tally: array<atomic<u32>, LEVELS>;
var<workgroup> ofLane: array<u32, WG>;

fn isPinned(position: u32) -> bool {
  for (var i = 0u; i < info.numPinned; i++) {
    if (position >= info.pinned[i].x && position < info.pinned[i].y) { return true; }
  }
  return false;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  for (var i = lane; i < LEVELS; i += WG) { atomicStore(&tally[i], 0u); }
  workgroupBarrier();
  for (var j = lane; j < step.numNew; j += WG) {
    let stored = packMeta(0u, importance[head * step.importanceStride + sourceRow(step, j)]);
    atomicAdd(&tally[select(stored >> 21u, LEVELS - 1u, isPinned(step.firstPosition + j))], 1u);
  }
  workgroupBarrier();
  let run = LEVELS / WG;
  var sum = 0u;
  for (var i = 0u; i < run; i++) { sum += atomicLoad(&tally[lane * run + i]); }
  ofLane[lane] = sum;
  workgroupBarrier();
  var above = 0u;
  for (var other = lane + 1u; other < WG; other++) { above += ofLane[other]; }
  for (var i = run; i > 0u; i--) {
    above += atomicLoad(&tally[lane * run + i - 1u]);
    levels[head * LEVELS + lane * run + i - 1u] = above;
  }
}
