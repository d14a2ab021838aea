// mean-key: mean of the unit keys of a kv head, sinks included: the anchor that key diversity measures from.
// One workgroup per (four channels, kv head); lanes stride over slots.
override D: u32;
override HALF: u32; // 1: RoPE pairs (i, i + D/2); 0: (2i, 2i + 1)

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> keys: array<Quad>;          // (G, capacity, D/4)
@group(0) @binding(2) var<storage, read> norms: array<vec2f>;        // (G, tokens): 1/|k|, |v|
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;  // (G, 7 D/2 + 4): writes KEY_X and KEY_Y

var<workgroup> parts: array<vec4f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  var sum = vec4f(0.0);
  for (var slot = lane; slot < params.tokens; slot += 64u) {
    sum += unpackQuad(keys[(head * params.capacity + slot) * (D / 4u) + group.x]) * norms[head * params.tokens + slot].x;
  }
  parts[lane] = sum;
  workgroupBarrier();
  if (lane >= 4u) { return; }
  var total = 0.0;
  for (var n = 0u; n < 64u; n++) { total += parts[n][lane]; }
  let channel = 4u * group.x + lane;
  let pairs = D / 2u;
  // Channel to place in a list of all x, then all y: already so for half pairing.
  let place = select(channel / 2u + (channel % 2u) * pairs, channel, HALF == 1u);
  moments[head * (7u * pairs + 4u) + KEY_X * pairs + place] = total / f32(params.tokens);
}
