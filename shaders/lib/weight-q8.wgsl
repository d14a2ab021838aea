// weight-q8: signed bytes with one scale.
const WORDS = 9u;

struct Head { a: f32 }

fn weightHead(first: u32) -> Head {
  return Head(unpack2x16float(weights[first + 8u * STRIDE]).x);
}

fn weightPair(first: u32, word: u32, head: Head) -> Pair {
  return Pair(head.a * signedBytes(weights[first + word * STRIDE]), head.a * signedBytes(weights[first + (4u + word) * STRIDE]));
}

fn signedBytes(word: u32) -> vec4f {
  return vec4f((vec4i(bitcast<i32>(word)) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u));
}
