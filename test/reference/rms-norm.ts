// rms-norm (reference, f64).

/** Rows of x (rows, cols) over their root mean square, times the gain. */
export function rmsNorm(x: ArrayLike<number>, gain: ArrayLike<number>, rows: number, cols: number, epsilon: number): Float64Array {
  const y = new Float64Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    let squares = 0;
    for (let c = 0; c < cols; c++) squares += (x[r * cols + c] as number) ** 2;
    const scale = 1 / Math.sqrt(squares / cols + epsilon);
    for (let c = 0; c < cols; c++) y[r * cols + c] = (x[r * cols + c] as number) * scale * (gain[c] as number);
  }
  return y;
}
