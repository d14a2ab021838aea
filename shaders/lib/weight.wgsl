// weight: what the weight-KIND files share. The layout is told in src/model/weights.ts: units of 32 columns, neighbouring rows in neighbouring words.
// Each weight-KIND.wgsl gives WORDS, a Head (what the unit's elements share) and weightPair.
override STRIDE: u32;  // padded rows of the shard: words between one word of a unit and the next

@group(0) @binding(1) var<storage, read> weights: array<u32>;  // (K / 32, WORDS, STRIDE)

/** Word j of a unit, j = 0..3: elements 4j..4j+3 and 16+4j..16+4j+3. */
struct Pair { lo: vec4f, hi: vec4f }

// Signed integers convert in one instruction where unsigned ones take several (x86 before AVX-512).
fn bytes(word: u32) -> vec4f {
  return vec4f(vec4i((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)));
}

fn halves(first: u32, second: u32) -> vec4f {
  return vec4f(unpack2x16float(first), unpack2x16float(second));
}
