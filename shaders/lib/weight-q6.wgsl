// weight-q6: nibbles and two words of upper bits, one scale for elements 0..15 and one for 16..31, codes around 32.
const WORDS = 7u;

struct Head { a: vec2f, upper: vec2u }

fn weightHead(first: u32) -> Head {
  return Head(unpack2x16float(weights[first + 6u * STRIDE]), vec2u(weights[first + 4u * STRIDE], weights[first + 5u * STRIDE]));
}

fn weightPair(first: u32, word: u32, head: Head) -> Pair {
  let codes = weights[first + word * STRIDE];
  let lo = (codes & 0x0F0F0F0Fu) | (((head.upper.x >> (2u * word)) & 0x03030303u) << 4u);
  let hi = ((codes >> 4u) & 0x0F0F0F0Fu) | (((head.upper.y >> (2u * word)) & 0x03030303u) << 4u);
  return Pair((bytes(lo) - 32.0) * head.a.x, (bytes(hi) - 32.0) * head.a.y);
}
