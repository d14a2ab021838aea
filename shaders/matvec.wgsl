// matvec: y = W x for one token; lib/epilogue.wgsl says what becomes of the sums, lib/norm-*.wgsl what part of an RMS norm before or after it
// is done on the way. A lane owns two rows, so that x is read once for both.
// On hardware adapters the columns are split over SPLIT slices of the workgroup: a matrix of 576 rows alone would not fill a GPU.
override WG: u32;
override SPLIT: u32 = 1u;
override UNITS: u32;             // K / 32
override ROWS: u32;              // rows to compute
override FIRST_ROW: u32 = 0u;    // row of the shard to begin with
override SPAN: u32;              // rows of a workgroup: 2 WG, or WG where MODE is PAIR
override SECOND: u32;            // distance of a lane's second row: WG, or the number of gates
override IN_AT_STEP: bool = false;  // x's row is step.firstRow, not 0

@group(0) @binding(0) var<uniform> step: Step;

var<workgroup> partial: array<vec2f, WG * SPLIT>;

@compute @workgroup_size(WG, SPLIT)
fn main(@builtin(workgroup_id) group: vec3u, lane: Lane) {
  let slice = lane.index / WG;
  let mine = lane.index % WG;
  let column = group.x * SPAN + mine;
  let rowA = min(FIRST_ROW + column, STRIDE - 1u);
  let rowB = min(FIRST_ROW + column + SECOND, STRIDE - 1u);
  let input = select(0u, step.firstRow, IN_AT_STEP) * UNITS * 8u;
  var sumA = 0.0;
  var sumB = 0.0;
  for (var unit = slice; unit < UNITS; unit += SPLIT) {
    let first = unit * WORDS * STRIDE;
    let headA = weightHead(first + rowA);
    let headB = weightHead(first + rowB);
    let c = columns(input + unit * 8u, lane);
    var a = weightPair(first + rowA, 0u, headA);
    var b = weightPair(first + rowB, 0u, headB);
    var lo = part0(c);
    var hi = part4(c);
    sumA += dot(a.lo, lo) + dot(a.hi, hi);
    sumB += dot(b.lo, lo) + dot(b.hi, hi);
    a = weightPair(first + rowA, 1u, headA);
    b = weightPair(first + rowB, 1u, headB);
    lo = part1(c);
    hi = part5(c);
    sumA += dot(a.lo, lo) + dot(a.hi, hi);
    sumB += dot(b.lo, lo) + dot(b.hi, hi);
    a = weightPair(first + rowA, 2u, headA);
    b = weightPair(first + rowB, 2u, headB);
    lo = part2(c);
    hi = part6(c);
    sumA += dot(a.lo, lo) + dot(a.hi, hi);
    sumB += dot(b.lo, lo) + dot(b.hi, hi);
    a = weightPair(first + rowA, 3u, headA);
    b = weightPair(first + rowB, 3u, headB);
    lo = part3(c);
    hi = part7(c);
    sumA += dot(a.lo, lo) + dot(a.hi, hi);
    sumB += dot(b.lo, lo) + dot(b.hi, hi);
  }
  if (SPLIT > 1u) {
    partial[lane.index] = vec2f(sumA, sumB);
    workgroupBarrier();
  }
  if (slice == 0u) {
    for (var other = 1u; other < SPLIT; other++) {
      sumA += partial[other * WG + mine].x;
      sumB += partial[other * WG + mine].y;
    }
    let scale = inputScale();
    if (MODE == PAIR) {
      if (column < ROWS) { write(column, silu(scale * sumA) * (scale * sumB)); }
    } else {
      if (column < ROWS) { write(column, scale * sumA); }
      if (column + SECOND < ROWS) { write(column + SECOND, scale * sumB); }
    }
  }
  passEnergy(lane.index, group.x);
}

fn write(column: u32, sum: f32) {
  passOn(column, finish(0u, column, sum));
}
