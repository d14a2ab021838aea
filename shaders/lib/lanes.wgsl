// lanes: the largest and the sum over a workgroup of 64 lanes, the same in every lane. Needs the alias Part of its kernel: f32 or a vector of it.
var<workgroup> parts: array<Part, 64>;

fn highest(value: Part, lane: u32) -> Part {
  workgroupBarrier();
  parts[lane] = value;
  workgroupBarrier();
  var top = parts[0];
  for (var n = 1u; n < 64u; n++) { top = max(top, parts[n]); }
  return top;
}

fn added(value: Part, lane: u32) -> Part {
  workgroupBarrier();
  parts[lane] = value;
  workgroupBarrier();
  var sum = Part();
  for (var n = 0u; n < 64u; n++) { sum += parts[n]; }
  return sum;
}
