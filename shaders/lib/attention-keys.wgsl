// attention-keys: the queries of a kv head as a unit's keys are coded, and the keys of slots in pages. Needs lib/attention-units, lib/klt-attention,
// lib/sparse-attention, the bindings info, table and rotated, and the pool.

const QUADS = D / 4u;
var<workgroup> q: array<vec4f, GROUP * QUADS>;                       // over sqrt(D); rotated where keys are coded
var<workgroup> sums: array<vec2f, GROUP>;                            // of a rotated query's channels (codes' zero multiplies it), and q . mean key

fn pageKeyQuad(f: Format, spot: Spot, quad: u32) -> vec4f {
  let bits = f.keyBits;
  if (bits == 16u) {
    return vec4f(unpack2x16float(poolWord(spot.page, quad * 2u * f.slots + spot.slot)), unpack2x16float(poolWord(spot.page, (quad * 2u + 1u) * f.slots + spot.slot)));
  }
  return codes4(poolWord(spot.page, (quad * bits / 8u) * f.slots + spot.slot), (quad * 4u * bits) % 32u, bits);
}

fn meanQuad(head: u32, quad: u32) -> vec4f {
  let at = info.meanStart + head * D + 2u * quad;
  return vec4f(unpack2x16float(table[at]), unpack2x16float(table[at + 1u]));
}

// q becomes H q, with the sums that go with it. Channels of H x add up to sqrt(BLOCK) times the first channel of each block of x.
// Loops are bounded by a uniform where unrolled ones would take compilers seconds.
fn rotateQueries(head: u32, lane: u32) {
  let block = (info.headSize & (0u - info.headSize)) / 4u;           // quads
  if (lane < GROUP) {
    var both = vec2f(0.0);
    for (var i = 0u; i < info.headSize / 4u; i++) {
      let x = q[lane * QUADS + i];
      both.y += dot(x, meanQuad(head, i));
      if (i % block == 0u) { both.x += x.x * sqrt(f32(BLOCK)); }
    }
    sums[lane] = both;
  }
  workgroupBarrier();
  for (var i = lane; i < GROUP * QUADS; i += WG) {
    let x = q[i] * inverseSqrt(f32(BLOCK));
    let y = vec4f(x.x + x.y, x.x - x.y, x.z + x.w, x.z - x.w);
    q[i] = vec4f(y.xy + y.zw, y.xy - y.zw);
  }
  for (var half = 1u; half < block; half *= 2u) {
    workgroupBarrier();
    for (var i = lane; i < GROUP * QUADS / 2u; i += WG) {
      let a = (i / half) * 2u * half + i % half;
      let u = q[a];
      let v = q[a + half];
      q[a] = u + v;
      q[a + half] = u - v;
    }
  }
  workgroupBarrier();
}

// Into q and sums, in the basis of the unit's keys.
fn loadQueries(unit: Unit, head: u32, lane: u32) {
  for (var i = lane; i < GROUP * QUADS; i += WG) {
    let at = head * GROUP * D + 4u * i;
    q[i] = vec4f(rotated[at], rotated[at + 1u], rotated[at + 2u], rotated[at + 3u]) * inverseSqrt(f32(D));
  }
  workgroupBarrier();
  if (isTurned(unit)) { rotateQueries(head, lane); }
  if (unit.kind != 1u || unit.format.keyBits == 16u) { return; }
  if (KLT && isKlt(unit.format)) { turnQueries(unit.format, head, lane); }
  else if (isSparse(unit.format)) { centreQueries(head, lane); }
  else { rotateQueries(head, lane); }
}
