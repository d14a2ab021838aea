// incoming-position: where the j-th slot that comes in stands in the sequence. Needs lib/compress-step and the bindings step and source.
fn incomingPosition(j: u32) -> u32 {
  if (step.positionStart == 0u) { return step.firstPosition + j; }
  return source[step.positionStart + sourceRow(step, j)];
}
