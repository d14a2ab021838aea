// divergence (reference, f64): log-softmax of both, and KL(full || compressed) as the sum it is.

export function logSoftmax(logits: ArrayLike<number>): Float64Array {
  const all = Float64Array.from(logits);
  const top = all.reduce((a, b) => Math.max(a, b));
  const norm = top + Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
  return all.map((logit) => logit - norm);
}

export function divergence(logits: ArrayLike<number>, fullLogits: ArrayLike<number>): number {
  const q = logSoftmax(logits);
  return logSoftmax(fullLogits).reduce((sum, logp, id) => sum + Math.exp(logp) * (logp - (q[id] as number)), 0);
}
