// weight-bf16: two bfloat16 a word; each is the upper half of an f32.
const WORDS = 16u;

struct Head { unused: u32 }

fn weightHead(first: u32) -> Head {
  return Head(0u);
}

fn weightPair(first: u32, word: u32, head: Head) -> Pair {
  let lo = first + 2u * word * STRIDE;
  let hi = lo + 8u * STRIDE;
  return Pair(brains(weights[lo], weights[lo + STRIDE]), brains(weights[hi], weights[hi + STRIDE]));
}

fn brains(first: u32, second: u32) -> vec4f {
  return bitcast<vec4f>(vec4u(first << 16u, first & 0xFFFF0000u, second << 16u, second & 0xFFFF0000u));
}
