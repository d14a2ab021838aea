// latest-alike: for every key of the prompt the latest other key that says the same (cosine above a half), whose column is let off that cosine (R-KV:
// the last copy survives). One workgroup per (64 keys, kv head); lane = key; from the prompt's end backwards until every lane has found one.
override D: u32;

@group(0) @binding(0) var<uniform> params: ScoreParams;
@group(0) @binding(1) var<storage, read> keys: array<Quad>;                  // (G, capacity, D/4)
@group(0) @binding(2) var<storage, read> norms: array<vec2f>;                // (G, tokens): 1/|k|, |v|
@group(0) @binding(3) var<storage, read_write> credits: array<atomic<u32>>;  // (G, tokens): sums of cosines, in 1/65536; zeros before

const TILE = 8u;
const SIMILAR = 0.5;
var<workgroup> tile: array<vec4f, 8u * (D / 4u)>; // unit keys
var<workgroup> searching: atomic<u32>;
var<workgroup> remain: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let slot = id.x;
  let head = id.y;
  let quads = min(D / 4u, arrayLength(&keys)); // D/4, as a bound that compilers cannot unroll
  let own = (head * params.capacity + min(slot, params.tokens - 1u)) * quads;
  let unit = norms[head * params.tokens + min(slot, params.tokens - 1u)].x;
  var found = slot >= params.tokens;
  var cosines: array<f32, TILE>;
  for (var end = params.tokens; end > 0u; end -= min(TILE, end)) {
    let first = end - min(TILE, end);
    for (var i = lane; i < TILE * quads; i += 64u) {
      let other = min(first + i / quads, params.tokens - 1u);
      tile[i] = unpackQuad(keys[(head * params.capacity + other) * quads + i % quads]) * norms[head * params.tokens + other].x;
    }
    if (lane == 0u) { atomicStore(&searching, 0u); }
    workgroupBarrier();
    if (!found) {
      for (var n = 0u; n < TILE; n++) { cosines[n] = 0.0; } // a variable declared here is not cleared again on llvmpipe
      for (var i = 0u; i < quads; i++) {
        let k = unpackQuad(keys[own + i]) * unit;
        for (var n = 0u; n < TILE; n++) { cosines[n] += dot(k, tile[n * quads + i]); }
      }
      for (var n = TILE; n > 0u && !found; n--) {
        let other = first + n - 1u;
        if (other < end && other != slot && cosines[n - 1u] > SIMILAR) {
          found = true;
          atomicAdd(&credits[head * params.tokens + other], u32(cosines[n - 1u] * 65536.0 + 0.5));
        }
      }
      if (!found) { atomicAdd(&searching, 1u); }
    }
    workgroupBarrier();
    if (lane == 0u) { remain = atomicLoad(&searching); }
    if (workgroupUniformLoad(&remain) == 0u) { break; }
  }
}
