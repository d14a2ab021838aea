// weight-f16: two halves a word, read with core WGSL: no shader-f16 needed.
const WORDS = 16u;

struct Head { unused: u32 }

fn weightHead(first: u32) -> Head {
  return Head(0u);
}

fn weightPair(first: u32, word: u32, head: Head) -> Pair {
  let lo = first + 2u * word * STRIDE;
  let hi = lo + 8u * STRIDE;
  return Pair(halves(weights[lo], weights[lo + STRIDE]), halves(weights[hi], weights[hi + STRIDE]));
}
