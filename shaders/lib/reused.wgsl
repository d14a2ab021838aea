// reused: whether a kv head's last selection serves once more: its list has not changed, and the group's queries point on average where those
// pointed that chose it (FreeKV's correction, methods 2.13, with the query that chose as the earlier one). Every lane must call it.
var<workgroup> cosines: array<f32, GROUP>;

fn isReused(head: u32, lane: u32) -> bool {
  let may = reading.tau <= 1.0 && selection[head * reading.stride + S_VALID] == 1u;
  if (lane < GROUP && may) {
    let at = (head * GROUP + lane) * D;
    var now = vec3f(0.0);                              // q . a, q . q, a . a
    for (var c = 0u; c < info.headSize; c++) {
      let q = rotated[at + c];
      let a = bitcast<f32>(selection[reading.anchors + at + c]);
      now += vec3f(q * a, q * q, a * a);
    }
    cosines[lane] = now.x * inverseSqrt(max(now.y * now.z, 1e-30));
  }
  workgroupBarrier();
  var mean = 0.0;
  for (var h = 0u; h < GROUP; h++) { mean += cosines[h] / f32(GROUP); }
  return may && mean >= reading.tau;
}
