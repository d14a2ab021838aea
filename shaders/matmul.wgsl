// matmul: Y = W X^T for a chunk of tokens; lib/epilogue.wgsl says what becomes of the sums. A lane owns two rows of W and a tile of 4 tokens
// (8 where WIDE): every weight is unpacked once for the tile, every x is read once for both rows. No barrier, no shared memory.
override WG: u32;
override WIDE: bool = false;
override UNITS: u32;             // K / 32
override ROWS: u32;              // rows to compute
override FIRST_ROW: u32 = 0u;    // row of the shard to begin with
override SPAN: u32;              // rows of a workgroup: 2 WG, or WG where MODE is PAIR
override SECOND: u32;            // distance of a lane's second row: WG, or the number of gates
override IN_AT_STEP: bool = false;  // rows of x count from step.firstRow, not from 0

@group(0) @binding(0) var<uniform> step: Step;

/** Columns of four tokens; partN puts part N of each side by side. */
struct Tile { a: Columns, b: Columns, c: Columns, d: Columns }

fn tile0(t: Tile) -> mat4x4f { return mat4x4f(part0(t.a), part0(t.b), part0(t.c), part0(t.d)); }
fn tile1(t: Tile) -> mat4x4f { return mat4x4f(part1(t.a), part1(t.b), part1(t.c), part1(t.d)); }
fn tile2(t: Tile) -> mat4x4f { return mat4x4f(part2(t.a), part2(t.b), part2(t.c), part2(t.d)); }
fn tile3(t: Tile) -> mat4x4f { return mat4x4f(part3(t.a), part3(t.b), part3(t.c), part3(t.d)); }
fn tile4(t: Tile) -> mat4x4f { return mat4x4f(part4(t.a), part4(t.b), part4(t.c), part4(t.d)); }
fn tile5(t: Tile) -> mat4x4f { return mat4x4f(part5(t.a), part5(t.b), part5(t.c), part5(t.d)); }
fn tile6(t: Tile) -> mat4x4f { return mat4x4f(part6(t.a), part6(t.b), part6(t.c), part6(t.d)); }
fn tile7(t: Tile) -> mat4x4f { return mat4x4f(part7(t.a), part7(t.b), part7(t.c), part7(t.d)); }

/** Where the rows of four tokens begin in x, in vec4; tokens past the chunk read its last row. */
fn inputRows(token: u32) -> vec4u {
  let rows = min(vec4u(token) + vec4u(0u, 1u, 2u, 3u), vec4u(step.tokens - 1u));
  return (rows + select(0u, step.firstRow, IN_AT_STEP)) * (UNITS * 8u);
}

fn loadTile(rows: vec4u, unit: u32, lane: Lane) -> Tile {
  let at = rows + unit * 8u;
  return Tile(columns(at.x, lane), columns(at.y, lane), columns(at.z, lane), columns(at.w, lane));
}

fn finishTile(token: u32, column: u32, sums: vec4f) {
  if (column >= ROWS) { return; }
  if (token < step.tokens) { finish(token, column, sums.x); }
  if (token + 1u < step.tokens) { finish(token + 1u, column, sums.y); }
  if (token + 2u < step.tokens) { finish(token + 2u, column, sums.z); }
  if (token + 3u < step.tokens) { finish(token + 3u, column, sums.w); }
}

fn finishRows(token: u32, column: u32, sumA: vec4f, sumB: vec4f) {
  if (MODE == PAIR) {
    finishTile(token, column, vec4f(silu(sumA.x), silu(sumA.y), silu(sumA.z), silu(sumA.w)) * sumB);
    return;
  }
  finishTile(token, column, sumA);
  finishTile(token, column + SECOND, sumB);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, lane: Lane) {
  let column = group.x * SPAN + lane.index;
  let rowA = min(FIRST_ROW + column, STRIDE - 1u);
  let rowB = min(FIRST_ROW + column + SECOND, STRIDE - 1u);
  let token = group.y * select(4u, 8u, WIDE);
  let nearRows = inputRows(token);
  let farRows = inputRows(token + 4u);
  var nearA = vec4f();
  var nearB = vec4f();
  var farA = vec4f();
  var farB = vec4f();
  for (var unit = 0u; unit < UNITS; unit++) {
    let first = unit * WORDS * STRIDE;
    let headA = weightHead(first + rowA);
    let headB = weightHead(first + rowB);
    let a0 = weightPair(first + rowA, 0u, headA);
    let a1 = weightPair(first + rowA, 1u, headA);
    let a2 = weightPair(first + rowA, 2u, headA);
    let a3 = weightPair(first + rowA, 3u, headA);
    let b0 = weightPair(first + rowB, 0u, headB);
    let b1 = weightPair(first + rowB, 1u, headB);
    let b2 = weightPair(first + rowB, 2u, headB);
    let b3 = weightPair(first + rowB, 3u, headB);
    let t = loadTile(nearRows, unit, lane);
    nearA += a0.lo * tile0(t) + a0.hi * tile4(t) + a1.lo * tile1(t) + a1.hi * tile5(t);
    nearB += b0.lo * tile0(t) + b0.hi * tile4(t) + b1.lo * tile1(t) + b1.hi * tile5(t);
    nearA += a2.lo * tile2(t) + a2.hi * tile6(t) + a3.lo * tile3(t) + a3.hi * tile7(t);
    nearB += b2.lo * tile2(t) + b2.hi * tile6(t) + b3.lo * tile3(t) + b3.hi * tile7(t);
    if (WIDE) {
      let f = loadTile(farRows, unit, lane);
      farA += a0.lo * tile0(f) + a0.hi * tile4(f) + a1.lo * tile1(f) + a1.hi * tile5(f);
      farB += b0.lo * tile0(f) + b0.hi * tile4(f) + b1.lo * tile1(f) + b1.hi * tile5(f);
      farA += a2.lo * tile2(f) + a2.hi * tile6(f) + a3.lo * tile3(f) + a3.hi * tile7(f);
      farB += b2.lo * tile2(f) + b2.hi * tile6(f) + b3.lo * tile3(f) + b3.hi * tile7(f);
    }
  }
  finishRows(token, column, nearA, nearB);
  if (WIDE) { finishRows(token + 4u, column, farA, farB); }
}
