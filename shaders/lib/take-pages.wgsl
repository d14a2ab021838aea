// take-pages: the lists' pages, once their lengths stand in the table. Needs the bindings info, step, table and free of choose-formats.

// Gives back the layer's pages and takes new ones, list by list (rebuild), or takes what the longer lists lack.
fn takePages(lane: u32) {
  let lists = T_HEADER + G * info.numFormats;
  let first = lists + G * info.numFormats;
  let capacity = free[2];
  let used = table[T_USED];
  var head = free[0];
  var tail = free[1];
  storageBarrier();
  workgroupBarrier();
  if (step.rebuild == 1u) {
    for (var i = lane; i < used; i += WG) { free[4u + (tail + i) % capacity] = table[first + i]; }
    tail += used;
  }
  storageBarrier();
  workgroupBarrier();
  var taken = 0u;
  for (var list = 0u; list < G * info.numFormats; list++) {
    let slots = info.formats[list % info.numFormats].slots;
    let want = (table[T_HEADER + list] + slots - 1u) / slots;
    var have = 0u;
    var start = taken;
    if (step.rebuild == 0u) {
      start = list * (info.maxPages / G);
      have = table[lists + list];                      // here: pages the list has; static tables derive their starts
    }
    for (var i = have + lane; i < want; i += WG) { table[first + start + i] = free[4u + (head + taken + i - have) % capacity]; }
    taken += want - have;
    workgroupBarrier();
    if (lane == 0u) { table[lists + list] = select(start, want, step.rebuild == 0u); }
  }
  if (lane == 0u) {
    if (taken > tail - head) { free[3] = 1u; }
    free[0] = head + taken;
    free[1] = tail;
    table[T_USED] = select(used + taken, taken, step.rebuild == 1u);
    table[T_RING] = step.firstPosition + step.numNew;
  }
}
