// weight-q5: nibbles and a word of fifth bits, with scale and minimum.
const WORDS = 6u;

struct Head { am: vec2f, fifth: u32 }

fn weightHead(first: u32) -> Head {
  return Head(unpack2x16float(weights[first + 5u * STRIDE]), weights[first + 4u * STRIDE]);
}

fn weightPair(first: u32, word: u32, head: Head) -> Pair {
  let codes = weights[first + word * STRIDE];
  let lo = (codes & 0x0F0F0F0Fu) | (((head.fifth >> word) & 0x01010101u) << 4u);
  let hi = ((codes >> 4u) & 0x0F0F0F0Fu) | (((head.fifth >> (4u + word)) & 0x01010101u) << 4u);
  return Pair(bytes(lo) * head.am.x + head.am.y, bytes(hi) * head.am.x + head.am.y);
}
