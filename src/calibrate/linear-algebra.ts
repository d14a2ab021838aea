// linear-algebra: the few dense operations a calibration needs, in f64, on matrices of a head's size (at most 256). Row-major.
// Own code: the libraries that have these are larger than the rest of the calibration, and the page ships it.

/** Lower triangle L with L L^T = `matrix` (D, D). Pivots that rounding made negative count as `least`, so semidefinite matrices pass. */
export function cholesky(matrix: Float64Array, D: number, least = 1e-12): Float64Array {
  const L = new Float64Array(D * D);
  for (let i = 0; i < D; i++)
    for (let j = 0; j <= i; j++) {
      let sum = at(matrix, i * D + j);
      for (let c = 0; c < j; c++) sum -= at(L, i * D + c) * at(L, j * D + c);
      L[i * D + j] = i === j ? Math.sqrt(Math.max(sum, least)) : sum / at(L, j * D + j);
    }
  return L;
}

/** (D, D) x (D, D). */
export function multiply(a: Float64Array, b: Float64Array, D: number): Float64Array {
  const product = new Float64Array(D * D);
  for (let i = 0; i < D; i++)
    for (let c = 0; c < D; c++) {
      const factor = at(a, i * D + c);
      if (factor === 0) continue;
      for (let j = 0; j < D; j++) product[i * D + j] = at(product, i * D + j) + factor * at(b, c * D + j);
    }
  return product;
}

export function transpose(matrix: Float64Array, D: number): Float64Array {
  return Float64Array.from({ length: D * D }, (_, n) => at(matrix, (n % D) * D + Math.floor(n / D)));
}

/** Inverse of a (D, D) matrix, by Gauss and Jordan with row pivots. A singular one gives infinities. */
export function inverse(matrix: Float64Array, D: number): Float64Array {
  const left = Float64Array.from(matrix);
  const right = Float64Array.from({ length: D * D }, (_, n) => (n % (D + 1) === 0 ? 1 : 0));
  for (let column = 0; column < D; column++) {
    let pivot = column;
    for (let row = column + 1; row < D; row++) if (Math.abs(at(left, row * D + column)) > Math.abs(at(left, pivot * D + column))) pivot = row;
    for (const side of [left, right]) swapRows(side, D, column, pivot);
    const factor = 1 / at(left, column * D + column);
    for (const side of [left, right]) for (let j = 0; j < D; j++) side[column * D + j] = at(side, column * D + j) * factor;
    for (let row = 0; row < D; row++) {
      const times = row === column ? 0 : at(left, row * D + column);
      if (times !== 0) for (const side of [left, right]) addRow(side, D, row, column, -times);
    }
  }
  return right;
}

/**
 * The rotation U (D, D) that makes the rows of U W orthogonal, largest first, applied to both: returns U W's squared row lengths and U B.
 * With W W^T = S these are S's eigenvalues, and B = identity gives its eigenvectors as rows. One-sided Jacobi (Hestenes 1958): accurate for
 * small eigenvalues too, and touches rows only.
 */
export function orthogonalizeRows(W: Float64Array, B: Float64Array, D: number): { readonly powers: Float64Array; readonly rows: Float64Array } {
  const [w, b] = [Float64Array.from(W), Float64Array.from(B)];
  for (let sweep = 0, turned = true; turned && sweep < MOST_SWEEPS; sweep++) {
    turned = false;
    for (let i = 0; i < D - 1; i++)
      for (let j = i + 1; j < D; j++) {
        const [p, q, cross] = [dotRows(w, D, i, i), dotRows(w, D, j, j), dotRows(w, D, i, j)];
        if (Math.abs(cross) <= ORTHOGONAL * Math.sqrt(p * q) || cross === 0) continue;
        turned = true;
        const tau = (q - p) / (2 * cross);
        const t = Math.sign(tau || 1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
        const cos = 1 / Math.sqrt(1 + t * t);
        turnRows(w, D, i, j, cos, t * cos);
        turnRows(b, D, i, j, cos, t * cos);
      }
  }
  const powers = Float64Array.from({ length: D }, (_, row) => dotRows(w, D, row, row));
  const order = Array.from({ length: D }, (_, row) => row).sort((x, y) => at(powers, y) - at(powers, x));
  return {
    powers: Float64Array.from(order, (row) => at(powers, row)),
    rows: Float64Array.from({ length: D * D }, (_, n) => at(b, at(order, Math.floor(n / D)) * D + (n % D))),
  };
}

/** Cosine below which two rows count as orthogonal, and sweeps after which one gives up: ten are enough for any matrix seen. */
const ORTHOGONAL = 1e-10;
const MOST_SWEEPS = 30;

function dotRows(matrix: Float64Array, D: number, i: number, j: number): number {
  let sum = 0;
  for (let c = 0; c < D; c++) sum += at(matrix, i * D + c) * at(matrix, j * D + c);
  return sum;
}

function turnRows(matrix: Float64Array, D: number, i: number, j: number, cos: number, sin: number): void {
  for (let c = 0; c < D; c++) {
    const [x, y] = [at(matrix, i * D + c), at(matrix, j * D + c)];
    matrix[i * D + c] = cos * x - sin * y;
    matrix[j * D + c] = sin * x + cos * y;
  }
}

function swapRows(matrix: Float64Array, D: number, i: number, j: number): void {
  if (i !== j) for (let c = 0; c < D; c++) [matrix[i * D + c], matrix[j * D + c]] = [at(matrix, j * D + c), at(matrix, i * D + c)];
}

function addRow(matrix: Float64Array, D: number, row: number, source: number, times: number): void {
  for (let c = 0; c < D; c++) matrix[row * D + c] = at(matrix, row * D + c) + times * at(matrix, source * D + c);
}

/** Every index here is inside. */
function at(values: { readonly [index: number]: number | undefined }, index: number): number {
  return values[index] as number;
}
