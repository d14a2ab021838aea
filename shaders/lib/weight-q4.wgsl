// weight-q4: nibbles with scale and minimum.
const WORDS = 5u;

struct Head { am: vec2f }

fn weightHead(first: u32) -> Head {
  return Head(unpack2x16float(weights[first + 4u * STRIDE]));
}

fn weightPair(first: u32, word: u32, head: Head) -> Pair {
  let codes = weights[first + word * STRIDE];
  return Pair(bytes(codes & 0x0F0F0F0Fu) * head.am.x + head.am.y, bytes((codes >> 4u) & 0x0F0F0F0Fu) * head.am.x + head.am.y);
}
