// cache-attention: softmax attention of one query over any slots, in f64; a slot may have a number that is added to its logit.

import { dot } from "./codec";
import type { Numbers } from "./expected-attention";

export function attend(query: Numbers, slots: readonly { readonly key: Numbers; readonly value: Numbers; readonly bias?: number }[]): Float64Array {
  const logits = slots.map(({ key, bias = 0 }) => dot(query, key) / Math.sqrt(query.length) + bias);
  const most = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return Float64Array.from({ length: query.length }, (_, c) =>
    slots.reduce((sum, { value }, i) => sum + ((weights[i] ?? 0) / total) * (value[c] ?? Number.NaN), 0),
  );
}
