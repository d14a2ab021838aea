// sampling: what scan-logits and sample share.
struct Sampling {
  temperature: f32,        // 0 = the likeliest token
  topK: u32,               // 0 = all
  topP: f32,               // 1 = all
  minLogit: f32,           // temperature * ln(minP): how far below the largest logit a token may be; -3e38 = any
  repetitionPenalty: f32,  // 1 = off
}

/** Of a slice of the logits, or of a lane's share: the largest, the lowest id that has it, 1 if any is NaN or infinite. */
struct Best { logit: f32, id: u32, bad: u32 }

fn better(a: Best, b: Best) -> Best {
  let bad = a.bad | b.bad;
  if (b.logit > a.logit || (b.logit == a.logit && b.id < a.id)) { return Best(b.logit, b.id, bad); }
  return Best(a.logit, a.id, bad);
}
