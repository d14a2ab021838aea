// epilogue: what a matrix product does with its sums. One invocation owns each element of y, so it may read and write it in place.
override MODE: u32 = 0u;         // STORE, ADD (a residual), GATE (y = silu(y) * sum) or PAIR (silu(first row) * second row)
override BIAS: bool = false;
override OUT_COLS: u32;          // columns of a row of y
override OUT_FIRST: u32 = 0u;    // column that this shard's first row writes
override OUT_AT_STEP: bool = false;  // rows of y count from step.firstRow, not from 0

const STORE = 0u;
const ADD = 1u;
const GATE = 2u;
const PAIR = 3u;

@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // (rows, OUT_COLS)
@group(0) @binding(4) var<storage, read> bias: array<f32>;     // (OUT_COLS), or anything without BIAS

fn silu(v: f32) -> f32 {
  return v / (1.0 + exp(-max(v, -80.0)));  // exp(88) overflows
}

// Returns what was written.
fn finish(token: u32, column: u32, sum: f32) -> f32 {
  let at = (token + select(0u, step.firstRow, OUT_AT_STEP)) * OUT_COLS + OUT_FIRST + column;
  var value = sum;
  if (BIAS) { value += bias[OUT_FIRST + column]; }
  if (MODE == ADD) { value += y[at]; }
  if (MODE == GATE) { value *= silu(y[at]); }
  y[at] = value;
  return value;
}
