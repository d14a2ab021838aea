// attention-ring: where a layer's sinks, ring and extra rows stand, and what a unit of slots is. Both ways of cutting a kv head's slots into
// units build on it: attention-units (all of them) and selected-units. Needs the bindings info, step and table.

// Position of the oldest token in this layer's ring: layers compress theirs in turn.
fn ringStart() -> u32 { return max(table[T_RING], info.sinks); }

fn ringRow(s: u32, sinks: u32) -> u32 {
  if (s < sinks) { return s; }
  return info.sinks + (ringStart() + s - sinks) % (info.ringSlots - info.sinks);
}

// Where a slot of the unit stands. kind 0: ring, 1: pages, 2: markers, 3: guests; chosen: where a head's selection begins, if there is one.
struct Unit { kind: u32, first: u32, count: u32, pages: u32, chosen: u32, format: Format }
struct Spot { page: u32, slot: u32 }

// The first units are those of sinks and ring, then of the markers, then of the guests: they are always read.
fn ringUnits() -> u32 { return (info.ringSlots + UNIT - 1u) / UNIT; }
fn markerUnits() -> u32 { return (info.markers + UNIT - 1u) / UNIT; }
fn alwaysUnits() -> u32 { return ringUnits() + markerUnits() + (info.guests + UNIT - 1u) / UNIT; }

fn alwaysUnit(number: u32, sinks: u32) -> Unit {
  var unit: Unit;
  if (number < ringUnits()) {
    let tokens = step.firstPosition + 1u;
    let held = sinks + tokens - min(tokens, ringStart());
    unit.first = number * UNIT;
    unit.count = min(UNIT, held - min(held, unit.first));
    return unit;
  }
  let left = number - ringUnits();
  let guest = left >= markerUnits();
  unit.kind = select(2u, 3u, guest);
  unit.first = select(left, left - markerUnits(), guest) * UNIT;
  unit.count = min(UNIT, select(info.markers, info.guests, guest) - unit.first);
  return unit;
}

fn alwaysSpot(unit: Unit, s: u32, sinks: u32) -> Spot {
  let index = unit.first + s;
  if (unit.kind == 0u) { return Spot(0u, ringRow(index, sinks)); }
  return Spot(0u, index);
}

// Rows whose codes are turned by a Hadamard matrix, but not centred: guests, and a ring in 8 bits.
fn isTurned(unit: Unit) -> bool { return unit.kind == 3u || (unit.kind == 0u && info.ringBits == 8u); }

// Word of the table where a list's pages begin.
fn firstPageWord(list: u32) -> u32 {
  let lists = G * info.numFormats;
  return T_HEADER + 2u * lists + select(table[T_HEADER + lists + list], list * (info.maxPages / G), info.mode == 0u);
}
