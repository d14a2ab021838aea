// selected-units: the sibling of attention-units where a kv head reads only the chunks of its list that select-chunks chose: first the sinks
// and the ring and the extra rows, then the chosen slots by rising index, UNIT at a time. One list of pages a head. Needs lib/attention-ring, lib/selection
// and the binding at SELECTION, which stands between cache-attention's own and the pool.
@group(0) @binding(SELECTION) var<storage, read> selection: array<u32>;

// Only the last chunk of a list is ever short, and it comes last among the chosen.
fn spotOf(unit: Unit, s: u32, sinks: u32) -> Spot {
  if (unit.kind != 1u) { return alwaysSpot(unit, s, sinks); }
  let index = unit.first + s;
  let span = selection[unit.chosen + S_SPAN];
  let slot = selection[unit.chosen + S_HEADER + index / span] * span + index % span;
  return Spot(table[unit.pages + slot / unit.format.slots], slot % unit.format.slots);
}

fn unitOf(head: u32, number: u32, sinks: u32) -> Unit {
  if (number < alwaysUnits()) { return alwaysUnit(number, sinks); }
  var unit: Unit;
  unit.chosen = head * selection[S_STRIDE];
  let length = selection[unit.chosen + S_SLOTS];
  unit.first = (number - alwaysUnits()) * UNIT;
  if (unit.first >= length) { return unit; }
  unit.kind = 1u;
  unit.count = min(UNIT, length - unit.first);
  unit.pages = firstPageWord(head);
  unit.format = info.formats[0];
  return unit;
}
