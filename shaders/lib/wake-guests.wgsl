// wake-guests: what a judgement does for guests that waited for it. Needs the bindings info, step and table, and lib/extra-rows.

// They are attended to from now on: pages no longer hold their slots.
fn wakeGuests(lane: u32) {
  if (step.rebuild == 0u || step.judged == 0u) { return; }
  for (var i = lane; i < G * info.guests; i += WG) {
    let at = guestPositionAt(i / info.guests, i % info.guests);
    if (table[at] != NOWHERE) { table[at] &= ~WAITING; }
  }
}
