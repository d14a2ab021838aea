// attention-units: how a kv head's slots are cut into units of UNIT slots for attention: first the sinks and the ring, then the extra rows,
// then every list of pages. Needs the bindings info, step and table.

// Position of the oldest token in this layer's ring: layers compress theirs in turn.
fn ringStart() -> u32 { return max(table[T_RING], info.sinks); }

fn ringRow(s: u32, sinks: u32) -> u32 {
  if (s < sinks) { return s; }
  return info.sinks + (ringStart() + s - sinks) % (info.ringSlots - info.sinks);
}

// Where a slot of the unit stands.
struct Unit { kind: u32, first: u32, count: u32, pages: u32, format: Format } // kind 0: ring, 1: pages, 2: extra rows
struct Spot { page: u32, slot: u32 }

fn spotOf(unit: Unit, s: u32, sinks: u32) -> Spot {
  let index = unit.first + s;
  if (unit.kind == 0u) { return Spot(0u, ringRow(index, sinks)); }
  if (unit.kind == 2u) { return Spot(0u, index); }
  return Spot(table[unit.pages + index / unit.format.slots], index % unit.format.slots);
}

// The unit this workgroup works on; count 0 if there is none.
fn unitOf(head: u32, number: u32, sinks: u32) -> Unit {
  var unit: Unit;
  var left = number;
  let ringUnits = (info.ringSlots + UNIT - 1u) / UNIT;
  if (left < ringUnits) {
    let tokens = step.firstPosition + 1u;
    let held = sinks + tokens - min(tokens, ringStart());
    unit.first = left * UNIT;
    unit.count = min(UNIT, held - min(held, unit.first));
    return unit;
  }
  left -= ringUnits;
  let extraUnits = (info.extras + UNIT - 1u) / UNIT;
  if (left < extraUnits) {
    unit.kind = 2u;
    unit.first = left * UNIT;
    unit.count = min(UNIT, info.extras - unit.first);
    return unit;
  }
  left -= extraUnits;
  for (var f = 0u; f < info.numFormats; f++) {
    let list = head * info.numFormats + f;
    let length = table[T_HEADER + list];
    let units = (length + UNIT - 1u) / UNIT;
    if (left < units) {
      unit.kind = 1u;
      unit.first = left * UNIT;
      unit.count = min(UNIT, length - unit.first);
      unit.pages = T_HEADER + 2u * G * info.numFormats + select(table[T_HEADER + G * info.numFormats + list], list * (info.maxPages / G), info.mode == 0u);
      unit.format = info.formats[f];
      return unit;
    }
    left -= units;
  }
  return unit;
}
