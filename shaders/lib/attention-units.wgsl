// attention-units: how a kv head's slots are cut into units of UNIT slots for attention: first the sinks and the ring, then the extra rows,
// then every list of pages. Needs lib/attention-ring.

fn spotOf(unit: Unit, s: u32, sinks: u32) -> Spot {
  if (unit.kind != 1u) { return alwaysSpot(unit, s, sinks); }
  let index = unit.first + s;
  return Spot(table[unit.pages + index / unit.format.slots], index % unit.format.slots);
}

// The unit this workgroup works on; count 0 if there is none.
fn unitOf(head: u32, number: u32, sinks: u32) -> Unit {
  var unit: Unit;
  var left = number;
  if (left < alwaysUnits()) { return alwaysUnit(left, sinks); }
  left -= alwaysUnits();
  for (var f = 0u; f < info.numFormats; f++) {
    let list = head * info.numFormats + f;
    let length = table[T_HEADER + list];
    let units = (length + UNIT - 1u) / UNIT;
    if (left < units) {
      unit.kind = 1u;
      unit.first = left * UNIT;
      unit.count = min(UNIT, length - unit.first);
      unit.pages = firstPageWord(list);
      unit.format = info.formats[f];
      return unit;
    }
    left -= units;
  }
  return unit;
}
