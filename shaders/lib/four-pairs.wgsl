// four-pairs: a key as planes of RoPE pairs, four pairs at a time, to be held against a record of moments. Needs D, HALF and the binding keys of its kernel.
struct FourPairs { x: vec4f, y: vec4f }

/** Pairs 4 n to 4 n + 3 of the key at `row`. */
fn fourPairs(row: u32, n: u32) -> FourPairs {
  let first = unpackQuad(keys[row + select(2u * n, n, HALF == 1u)]);
  let second = unpackQuad(keys[row + select(2u * n + 1u, n + D / 8u, HALF == 1u)]);
  if (HALF == 1u) { return FourPairs(first, second); }
  return FourPairs(vec4f(first.xz, second.xz), vec4f(first.yw, second.yw));
}

// D/8, as a bound that compilers cannot unroll.
fn fours() -> u32 { return min(D / 8u, arrayLength(&keys)); }
