// fill-places: the options at the prices found, and what the lists' last pages then have left over is filled. Needs the bindings
// info, step, candidates and counts, and the arrays and costs of choose-formats.
const BINS = 16u;         // of a digit of four bits
const ALL = 0xFFFFFFFFu;  // in place of a gain's first digits: every slot that gains has its place

// Every candidate's option at the prices found, into the last bits of n: a change of a millionth.
fn settle(lane: u32) {
  for (var i = lane; i < G * OPTIONS; i += WG) { atomicStore(&tally[i], 0u); }
  workgroupBarrier();
  for (var head = 0u; head < info.kvHeads; head++) {
    let lambda = lambdaOf(high[head], head);
    for (var i = lane; i < counts[head]; i += WG) {
      let at = head * step.numCandidates + i;
      let option = bestOption(candidates[at], lambda);
      candidates[at].z = (candidates[at].z & ~OPTION_BITS) | option;
      atomicAdd(&tally[head * OPTIONS + option], 1u);
    }
  }
  workgroupBarrier();
}

// Bits of what a slot would win by moving up to an option; 0: nothing, or it may not.
fn gainOf(slot: vec4u, option: u32) -> u32 {
  let now = slot.z & OPTION_BITS;
  if (now >= option || option > limitOf(slot)) { return 0u; }
  return bitcast<u32>(max(costOf(slot, now) - costOf(slot, option), 0.0));
}

// Into each list, the richest first, move up those of the poorer ones that win most by it, as many as there are places. The least gain that moves is found digit by
// digit; where a last digit's slots do not all have a place, none of them moves. What moves up leaves a place behind.
fn fill(lane: u32) {
  if (info.mode != 2u || step.judged == 0u) { return; }
  for (var i = lane; i < G * OPTIONS; i += WG) {
    let o = i % OPTIONS;
    let slots = select(1u, info.formats[max(o, 1u) - 1u].slots, o >= 1u && o <= info.numFormats);
    places[i] = (atomicLoad(&tally[i]) + slots - 1u) / slots * slots;
  }
  workgroupBarrier();
  for (var o = info.numFormats; o >= 1u; o--) {
    for (var head = lane; head < G; head += WG) {
      quota[head] = places[head * OPTIONS + o] - atomicLoad(&tally[head * OPTIONS + o]);
      low[head] = 0u;
      high[head] = INFINITE;
    }
    for (var shift = 27u; shift >= 7u; shift -= 4u) {
      for (var i = lane; i < G * BINS; i += WG) { atomicStore(&before[i], 0u); }
      workgroupBarrier();
      for (var head = 0u; head < info.kvHeads; head++) {
        for (var i = lane; i < counts[head]; i += WG) {
          let gain = gainOf(candidates[head * step.numCandidates + i], o);
          if (gain > 0u && gain >> (shift + 4u) == low[head] >> (shift + 4u)) { atomicAdd(&before[head * BINS + ((gain >> shift) & (BINS - 1u))], 1u); }
        }
      }
      workgroupBarrier();
      for (var head = lane; head < G; head += WG) {
        if (low[head] == ALL) { continue; }
        var bin = BINS;
        while (bin > 0u && atomicLoad(&before[head * BINS + bin - 1u]) <= quota[head]) {
          bin--;
          quota[head] -= atomicLoad(&before[head * BINS + bin]);
        }
        high[head] = low[head] + (bin << shift);
        low[head] = select(ALL, low[head] + ((bin - 1u) << shift), bin > 0u);
      }
      workgroupBarrier();
    }
    for (var head = 0u; head < info.kvHeads; head++) {
      for (var i = lane; i < counts[head]; i += WG) {
        let at = head * step.numCandidates + i;
        let gain = gainOf(candidates[at], o);
        if (gain == 0u || gain < high[head]) { continue; }
        atomicSub(&tally[head * OPTIONS + (candidates[at].z & OPTION_BITS)], 1u);
        atomicAdd(&tally[head * OPTIONS + o], 1u);
        candidates[at].z = (candidates[at].z & ~OPTION_BITS) | o;
      }
    }
    workgroupBarrier();
  }
}
