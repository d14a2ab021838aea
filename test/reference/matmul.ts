// matmul (reference, f64): Y = X W^T, and SiLU.

/** x (tokens, cols), w (rows, cols) -> (tokens, rows). */
export function matmul(x: ArrayLike<number>, w: ArrayLike<number>, tokens: number, rows: number, cols: number): Float64Array {
  const y = new Float64Array(tokens * rows);
  for (let t = 0; t < tokens; t++)
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let c = 0; c < cols; c++) sum += (x[t * cols + c] as number) * (w[r * cols + c] as number);
      y[t * rows + r] = sum;
    }
  return y;
}

export function silu(value: number): number {
  return value / (1 + Math.exp(-value));
}
