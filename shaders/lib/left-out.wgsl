// left-out: whether the turn's filter left a chunk out (turn-filter). Needs lib/read-info and the binding `selection`.
fn isLeftOut(head: u32, chunk: u32) -> bool {
  if (reading.left == 0u) { return false; }
  let word = selection[head * reading.stride + S_HEADER + reading.keep + chunk / 32u];
  return ((word >> (chunk % 32u)) & 1u) == 1u;
}
