// query-sums: reads mean and covariance out of the sums of query-moments. Needs D, params, pivot and sums of its kernel.

// Channels (x, y) of a RoPE pair.
fn pairChannels(pair: u32) -> vec2u {
  return select(vec2u(2u * pair, 2u * pair + 1u), vec2u(pair, pair + D / 2u), HALF == 1u);
}

fn numQueries() -> f32 {
  return f32(max(params.tokens, params.sinks + 1u) - params.sinks);
}

// Mean of a channel less the pivot.
fn offset(head: u32, i: u32) -> f32 {
  return sums[head * (D + 1u) * D + D * D + i] / numQueries();
}

fn queryMean(head: u32, i: u32) -> f32 {
  return pivot[head * D + i] + offset(head, i);
}

fn queryCovariance(head: u32, i: u32, j: u32) -> f32 {
  let product = sums[head * (D + 1u) * D + min(i, j) * D + max(i, j)];
  return product / numQueries() - offset(head, i) * offset(head, j);
}
