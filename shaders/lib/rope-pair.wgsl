// rope-pair: one pair of neighbouring channels, turned to its token's position. Needs the bindings qkv and turns, D and HALF.

/** The pair at `word` of a head whose channels begin at qkv[head], turned to the position. */
fn rotated(head: u32, word: u32, position: u32) -> vec2f {
  let mine = qkv[head + word];
  if (!HALF) {
    let turn = turns[position * (D / 2u) + word];
    return vec2f(mine.x * turn.x - mine.y * turn.y, mine.x * turn.y + mine.y * turn.x);
  }
  let upper = word >= D / 4u;
  let other = qkv[head + select(word + D / 4u, word - D / 4u, upper)];
  let at = position * (D / 2u) + 2u * select(word, word - D / 4u, upper);
  let turn = vec4f(turns[at], turns[at + 1u]);
  return mine * turn.xz + select(-other, other, upper) * turn.yw;
}

/** Beyond f16's largest number pack2x16float may return anything. */
fn packed(pair: vec2f) -> u32 {
  return pack2x16float(nearestHalf(clamp(pair, vec2f(-65504.0), vec2f(65504.0))));
}
