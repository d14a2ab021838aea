// recent-mass: attention to recent tokens whoever they are. Needs the binding info and lib/compress-step.

// What a token gets for being recent: half as much every so many tokens, over all tokens info.recency. It fades, so it is not stored.
fn recentMass(step: CompressStep, position: u32) -> f32 {
  return info.recency * (1.0 - exp2(-1.0 / info.recencySpan)) * exp2(-f32(step.now - position) / info.recencySpan);
}
