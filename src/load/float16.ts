// float16: half-precision numbers as bits, both ways, quick enough for millions of scales. Math.f16round is too new to rely on.

/** The value of an f16, exact. */
export function float16Value(bits: number): number {
  return VALUES[bits] as number;
}

/** The f16 nearest to a value (ties to even), infinity beyond 65,504. NaN stays NaN. */
export function float16Bits(value: number): number {
  SCRATCH_FLOAT[0] = value;
  const bits = SCRATCH_BITS[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const exponent = (bits >>> 23) & 255;
  const mantissa = bits & 0x7fffff;
  if (exponent === 255) return sign | 0x7c00 | (mantissa ? 0x200 : 0);
  if (exponent >= 143) return sign | 0x7c00; // 2^16 and above
  if (exponent < 102) return sign; // below half of 2^-24
  // Normal: drop 13 bits of 23. Subnormal: drop more, with the leading one written out. A carry runs into the exponent as it should.
  const normal = exponent >= 113;
  const drop = normal ? 13 : 126 - exponent;
  const full = normal ? ((exponent - 112) << 23) | mantissa : mantissa | 0x800000;
  const kept = full >>> drop;
  const rest = full & ((1 << drop) - 1);
  const half = 1 << (drop - 1);
  return sign | (kept + (rest > half || (rest === half && kept & 1) ? 1 : 0));
}

const SCRATCH_FLOAT = new Float32Array(1);
const SCRATCH_BITS = new Uint32Array(SCRATCH_FLOAT.buffer);

/** All 65,536 values, 256 KiB. */
const VALUES = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
});
