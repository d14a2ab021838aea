// hadamard: the basis that coded vectors are turned into, on the host. Leaves to others: the same in kernels, and what is rounded there.

/**
 * Orthonormal Walsh-Hadamard transform of the channels first..first + length, block-wise (kernels/cache-kernel hadamardBlock), in place; its own inverse.
 * Of f16 numbers it is exact where the block is a power of four, and rounded once where it is not.
 */
export function hadamard(row: Float64Array, first: number, length: number, block: number): void {
  for (let span = 1; span < block; span *= 2)
    for (let c = first; c < first + length; c++) {
      if ((c - first) & span) continue;
      const [x, y] = [row[c] ?? 0, row[c + span] ?? 0];
      row[c] = x + y;
      row[c + span] = x - y;
    }
  const norm = Math.sqrt(block);
  for (let c = first; c < first + length; c++) row[c] = (row[c] ?? 0) / norm;
}
