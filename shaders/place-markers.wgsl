// place-markers: cuts the evicted positions of a kv head into spans, one a marker, before what was just dropped is folded into them. The first time,
// when all candidates stand in order, spans of equal counts. Afterwards a token joins the span that its position lies in, and the newest span is
// closed where what comes in begins, once it holds its share of all that is evicted; if no row is left, the two neighbours with the
// fewest tokens together become one. One workgroup per kv head.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<storage, read> candidates: array<vec4u>;   // (G, numCandidates), with choices in them
@group(0) @binding(3) var<storage, read_write> table: array<u32>;

const NOTHING = 0u; const CUT = 1u; const OPEN = 2u; const MERGE = 3u;
var<workgroup> dropped: array<vec2u, WG>;             // by lane: dropped candidates of its run, and those of them that come in
var<workgroup> act: u32;
var<workgroup> place: u32;                            // CUT: spans; OPEN: row; MERGE: row that takes in the next one
var<workgroup> begin: u32;                            // OPEN, MERGE: position where the new span begins

fn countOf(head: u32, row: u32) -> u32 { return table[extraAt(head, row) + X_COUNT]; }

// What is to be done, from the spans there are and the numbers of dropped candidates.
fn decide(head: u32, all: vec2u) {
  var rows = 0u;
  var held = 0u;
  for (var m = 0u; m < info.markers; m++) {
    if (table[extraAt(head, m) + X_FIRST] != NOWHERE) { rows++; held += countOf(head, m); }
  }
  act = NOTHING;
  begin = step.firstPosition;
  if (all.x == 0u) { return; }
  if (rows == 0u) {
    act = select(OPEN, CUT, !isInPages(candidates[head * step.numCandidates].x));
    place = select(0u, min(info.markers, all.x), act == CUT);
    begin = 0u;
    return;
  }
  if (all.y == 0u || info.markers == 1u || countOf(head, rows - 1u) * info.markers < held) { return; }
  if (rows < info.markers) { act = OPEN; place = rows; return; }
  act = MERGE;
  var least = NOWHERE;
  for (var m = 0u; m + 1u < rows; m++) {
    let sum = countOf(head, m) + countOf(head, m + 1u);
    if (sum < least) { least = sum; place = m; }
  }
}

// Weighted mean of two words' channels.
fn blend(a: u32, b: u32, weights: vec2f) -> u32 {
  return pack2x16float(nearestHalf((weights.x * unpack2x16float(a) + weights.y * unpack2x16float(b)) / (weights.x + weights.y)));
}

// Row `row` takes in the next one, those behind move up, the last one is free. A lane moves its own words of every row.
fn mergeRows(head: u32, row: u32, lane: u32) {
  let count = countOf(head, row) + countOf(head, row + 1u);
  let weights = vec2f(bitcast<f32>(table[extraAt(head, row) + X_WEIGHT]), bitcast<f32>(table[extraAt(head, row + 1u) + X_WEIGHT]));
  workgroupBarrier();
  for (var w = lane; w < EXTRA_WORDS; w += WG) {
    let at = extraAt(head, row) + w;
    let next = at + EXTRA_WORDS;
    if (w < D && weights.x + weights.y > 0.0) { table[at] = blend(table[at], table[next], weights); }
    if (w == X_WEIGHT) { table[at] = bitcast<u32>(weights.x + weights.y); }
    if (w == X_COUNT) { table[at] = count; }
    if (w == X_BIAS && info.plainMarkers == 0u) { table[at] = bitcast<u32>(log(f32(max(count, 1u)))); }
    for (var m = row + 1u; m + 1u < info.markers; m++) { table[extraAt(head, m) + w] = table[extraAt(head, m + 1u) + w]; }
  }
  storageBarrier();
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let run = (step.numCandidates + WG - 1u) / WG;
  let last = min(step.numCandidates, (lane + 1u) * run);
  var mine = vec2u(0u);
  for (var i = lane * run; i < last; i++) {
    let candidate = candidates[head * step.numCandidates + i];
    if (isDropped(candidate)) { mine += vec2u(1u, select(1u, 0u, isInPages(candidate.x))); }
  }
  dropped[lane] = mine;
  workgroupBarrier();
  var before = vec2u(0u);
  var all = vec2u(0u);
  for (var i = 0u; i < WG; i++) {
    if (i == lane) { before = all; }
    all += dropped[i];
  }
  if (lane == 0u) { decide(head, all); }
  workgroupBarrier();
  let doing = workgroupUniformLoad(&act);
  if (doing == CUT) {
    var rank = before.x;
    for (var i = lane * run; i < last; i++) {
      if (!isDropped(candidates[head * step.numCandidates + i])) { continue; }
      let m = (rank * place + all.x - 1u) / all.x;     // the span that begins at this rank, if one does
      if (m < place && m * all.x / place == rank) { table[extraAt(head, m) + X_FIRST] = step.firstPosition + candidates[head * step.numCandidates + i].x; }
      rank++;
    }
  }
  if (doing == MERGE) { mergeRows(head, place, lane); }
  if ((doing == OPEN || doing == MERGE) && lane == 0u) {
    let at = extraAt(head, select(place, info.markers - 1u, doing == MERGE));
    table[at + X_BIAS] = bitcast<u32>(-1e30);
    table[at + X_WEIGHT] = 0u;
    table[at + X_COUNT] = 0u;
    table[at + X_FIRST] = begin;
  }
}
