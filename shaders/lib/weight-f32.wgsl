// weight-f32: one word an element.
const WORDS = 32u;

struct Head { unused: u32 }

fn weightHead(first: u32) -> Head {
  return Head(0u);
}

fn weightPair(first: u32, word: u32, head: Head) -> Pair {
  return Pair(four(first + 4u * word * STRIDE), four(first + (16u + 4u * word) * STRIDE));
}

fn four(at: u32) -> vec4f {
  return bitcast<vec4f>(vec4u(weights[at], weights[at + STRIDE], weights[at + 2u * STRIDE], weights[at + 3u * STRIDE]));
}
