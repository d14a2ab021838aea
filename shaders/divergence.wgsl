// divergence: how far the logits of a compressed cache are from the full one's, for one forced token. One workgroup.
@group(0) @binding(0) var<storage, read> logits: array<f32>;       // (V), compressed
@group(0) @binding(1) var<storage, read> fullLogits: array<f32>;   // (V)
@group(0) @binding(2) var<storage, read> next: array<u32>;         // the forced id
@group(0) @binding(3) var<storage, read_write> result: array<u32>; // logprob, full logprob, KL (f32 bits), first ids of both

override V: u32;
const LANES = 256u;
var<workgroup> value: array<vec2f, LANES>;
var<workgroup> place: array<vec2u, LANES>;

// Sums over the lanes, in a fixed order.
fn total(lane: u32, mine: vec2f) -> vec2f {
  value[lane] = mine;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) { value[lane] += value[lane + half]; }
    workgroupBarrier();
  }
  let sum = value[0];
  workgroupBarrier();
  return sum;
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var most = vec2f(-1e30);
  var first = vec2u(0u);
  for (var i = lane; i < V; i += LANES) {
    let x = vec2f(logits[i], fullLogits[i]);
    first = select(first, vec2u(i), x > most);
    most = max(most, x);
  }
  value[lane] = most;
  place[lane] = first;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      let other = value[lane + half];
      let better = (other > value[lane]) | ((other == value[lane]) & (place[lane + half] < place[lane]));
      value[lane] = select(value[lane], other, better);
      place[lane] = select(place[lane], place[lane + half], better);
    }
    workgroupBarrier();
  }
  most = value[0];
  let firsts = place[0];
  workgroupBarrier();
  var mine = vec2f(0.0);
  for (var i = lane; i < V; i += LANES) { mine += exp(vec2f(logits[i], fullLogits[i]) - most); }
  let z = most + log(total(lane, mine));
  // p (log p - log q) + q - p, which is never negative and sums to the same: terms of equal logits vanish instead of cancelling.
  var kl = 0.0;
  for (var i = lane; i < V; i += LANES) {
    let full = fullLogits[i] - z.y;
    let gap = full - (logits[i] - z.x);
    let small = gap * gap * (0.5 - gap / 6.0 * (1.0 - gap / 4.0));
    kl += exp(full) * select(gap + exp(-gap) - 1.0, small, abs(gap) < 0.05);
  }
  let sum = total(lane, vec2f(kl, 0.0)).x;
  if (lane == 0u) {
    result[0] = bitcast<u32>(logits[next[0]] - z.x);
    result[1] = bitcast<u32>(fullLogits[next[0]] - z.y);
    result[2] = bitcast<u32>(sum);
    result[3] = firsts.x;
    result[4] = firsts.y;
  }
}
