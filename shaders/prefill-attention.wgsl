// prefill-attention: causal attention of a chunk's queries over the staging buffer, with a running softmax. Lane = query of one head;
// keys and values are read at addresses that all lanes share. Needs the literals D, G and GROUP.
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> rotated: array<vec4f>;        // (tokens, H, D/4)
@group(0) @binding(2) var<storage, read> keys: array<vec2u>;           // (G, capacity, D/4) f16 pairs
@group(0) @binding(3) var<storage, read> values: array<vec2u>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;   // (tokens, H, D/4)

const QUADS = D / 4u;

fn quad(word: vec2u) -> vec4f { return vec4f(unpack2x16float(word.x), unpack2x16float(word.y)); }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  let token = group.x * WG + lane;
  let capacity = arrayLength(&keys) / (G * QUADS);
  let base = (head / GROUP) * capacity * QUADS;
  let last = step.context - step.tokens + min(token, step.tokens - 1u);      // the query's own row
  let end = step.context - step.tokens + min(group.x * WG + WG, step.tokens); // past the last row any lane sees
  var q: array<vec4f, QUADS>;
  var o: array<vec4f, QUADS>;
  let start = (min(token, step.tokens - 1u) * G * GROUP + head) * QUADS;
  for (var i = 0u; i < QUADS; i++) { q[i] = rotated[start + i] * inverseSqrt(f32(D)); }
  var most = -1e30;
  var sum = 0.0;
  for (var first = 0u; first < end; first += 4u) {
    let rows = base + min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u)) * QUADS;
    var s = vec4f(0.0);
    for (var i = 0u; i < QUADS; i++) {
      s += vec4f(dot(q[i], quad(keys[rows.x + i])), dot(q[i], quad(keys[rows.y + i])), dot(q[i], quad(keys[rows.z + i])), dot(q[i], quad(keys[rows.w + i])));
    }
    s = select(vec4f(-1e30), s, vec4u(first) + vec4u(0u, 1u, 2u, 3u) <= vec4u(last));
    let top = max(most, max(max(s.x, s.y), max(s.z, s.w)));
    let shrink = exp(most - top);
    let p = exp(s - top);
    most = top;
    sum = sum * shrink + dot(p, vec4f(1.0));
    for (var i = 0u; i < QUADS; i++) {
      o[i] = o[i] * shrink + p.x * quad(values[rows.x + i]) + p.y * quad(values[rows.y + i]) + p.z * quad(values[rows.z + i]) + p.w * quad(values[rows.w + i]);
    }
  }
  if (token >= step.tokens) { return; }
  for (var i = 0u; i < QUADS; i++) { output[start + i] = o[i] / sum; }
}
