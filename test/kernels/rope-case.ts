// rope-case: the table that RoPE's kernels read.

/** (positions, D / 2) cos and sin. */
export function turns(frequencies: Float64Array, positions: number): Float32Array {
  const table = new Float32Array(positions * frequencies.length * 2);
  for (let p = 0; p < positions; p++)
    frequencies.forEach((frequency, i) => {
      table[(p * frequencies.length + i) * 2] = Math.cos(p * frequency);
      table[(p * frequencies.length + i) * 2 + 1] = Math.sin(p * frequency);
    });
  return table;
}
