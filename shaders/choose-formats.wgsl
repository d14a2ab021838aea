// choose-formats: decides every candidate's format under the layer's page budget, ranks it in its list, and gives the lists
// their pages. The threshold lambda is found by bisection over the bits of a positive f32: each step counts the pages that
// the choice would take, exactly, half-empty last pages included. What those pages have left over is then filled with the slots
// that win most by it. One workgroup per layer; integers only across lanes, so the result does not depend on timing. The ring
// begins after the tokens that came in.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<storage, read_write> candidates: array<vec4u>; // (G, numCandidates), see lib/compress-step
@group(0) @binding(3) var<storage, read> counts: array<u32>;           // (G)
@group(0) @binding(4) var<storage, read_write> table: array<u32>;
@group(0) @binding(5) var<storage, read_write> free: array<u32>;       // head, tail, capacity, error; then a ring of page ids

const OPTIONS = 11u;                                  // dropped, and up to ten formats
const LARGEST = 0x7F000000u;                          // bits of 1.7e38
const INFINITE = 0x7F800000u;
const OPTION_BITS = 15u;                              // of n, where an option stands once it is settled
var<workgroup> tally: array<atomic<u32>, G * OPTIONS>;
var<workgroup> low: array<u32, G>;                    // bits of a lambda that takes too much
var<workgroup> high: array<u32, G>;                   // bits of one that fits
var<workgroup> safe: array<u32, G>;                   // bits of the head's own threshold under its safeguard
var<workgroup> pages: array<u32, G>;
var<workgroup> quota: array<u32, G>;
var<workgroup> holding: u32;                          // 1: held slots are not demoted
var<workgroup> places: array<u32, G * OPTIONS>;       // of the pages that a list has
var<workgroup> before: array<atomic<u32>, OPTIONS * WG>; // slots of each option in the lanes before; earlier, slots by what they would win: (G, BINS)

// A slot never gets more bits than it has; none where a guest takes its place.
fn limitOf(slot: vec4u) -> u32 {
  if ((slot.z & TAKEN_OVER) != 0u) { return 0u; }
  return select(info.numFormats, formatOf(slot.x) + 1u, isInPages(slot.x));
}

// What is lost where a slot gets an option: the expected error of the output, squared.
fn costOf(slot: vec4u, option: u32) -> f32 {
  let damage = abs(bitcast<f32>(slot.w));
  if (option == 0u) { return damage; }
  let format = info.formats[option - 1u];
  return damage * (info.kappa * (1.0 - exp(-format.relativeKey * bitcast<f32>(slot.z))) + format.relativeValue);
}

// The cheapest option at this price of a byte (tiers: of a unit of importance).
fn bestOption(slot: vec4u, lambda: f32) -> u32 {
  if (info.mode == 0u) { return 1u; }
  if (step.judged == 0u) { return select(info.numFormats, formatOf(slot.x) + 1u, isInPages(slot.x)); }
  let limit = limitOf(slot);
  var option = 0u;
  if (info.mode == 1u) {
    let p = abs(bitcast<f32>(slot.y));
    for (var f = 0u; f < limit; f++) {
      if (p >= lambda * info.formats[f].threshold) { option = f + 1u; }
    }
  } else {
    var least = costOf(slot, 0u);
    for (var o = 1u; o <= limit; o++) {
      let cost = costOf(slot, o) + lambda * info.formats[o - 1u].bytes;
      if (cost < least) { least = cost; option = o; }
    }
  }
  if (holding == 1u && (slot.w & HELD) != 0u) { option = limit; }
  if ((slot.y & 0x80000000u) != 0u) {                  // pinned: never dropped, floor k8v8, which is among the formats; never sparse
    var least = 0u;
    while (least + 1u < limit && (min(info.formats[least].keyBits, info.formats[least].valueBits) < 8u || isSparse(info.formats[least]))) { least++; }
    option = max(option, least + 1u);
  }
  return option;
}

fn lambdaOf(bits: u32, head: u32) -> f32 { return bitcast<f32>(min(bits, safe[head])); }

const LOW = 0u; const MIDDLE = 1u; const HIGH = 2u;   // where in [low, high] a price is tried
fn bitsAt(head: u32, place: u32) -> u32 { return select(select((low[head] + high[head]) / 2u, low[head], place == LOW), high[head], place == HIGH); }

// Pages that every head takes at a place of its [low, high], into `pages`.
fn countPages(lane: u32, place: u32) {
  for (var i = lane; i < G * OPTIONS; i += WG) { atomicStore(&tally[i], 0u); }
  workgroupBarrier();
  for (var head = 0u; head < info.kvHeads; head++) {
    let lambda = lambdaOf(bitsAt(head, place), head);
    var mine = array<u32, OPTIONS>();
    for (var i = lane; i < counts[head]; i += WG) { mine[bestOption(candidates[head * step.numCandidates + i], lambda)]++; }
    for (var o = 1u; o <= info.numFormats; o++) { if (mine[o] > 0u) { atomicAdd(&tally[head * OPTIONS + o], mine[o]); } }
  }
  workgroupBarrier();
  for (var head = lane; head < G; head += WG) {
    var sum = 0u;
    for (var f = 0u; f < info.numFormats; f++) {
      let slots = info.formats[f].slots;
      sum += (atomicLoad(&tally[head * OPTIONS + f + 1u]) + slots - 1u) / slots;
    }
    pages[head] = sum;
  }
  workgroupBarrier();
}

// Cuts [low, high] where the pages were counted: of every head under its quota, or of all together under the budget.
fn narrow(lane: u32, place: u32, together: bool, budget: u32) {
  var all = 0u;
  for (var head = 0u; head < info.kvHeads; head++) { all += pages[head]; }
  for (var head = lane; head < G; head += WG) {
    let tried = bitsAt(head, place);
    if (select(pages[head] <= quota[head], all <= budget, together)) { high[head] = tried; } else { low[head] = tried; }
  }
  workgroupBarrier();
}

fn reset(lane: u32) {
  for (var head = lane; head < G; head += WG) { low[head] = 0u; high[head] = LARGEST; }
  workgroupBarrier();
}

// Every candidate's rank in its list; lists' new lengths into the table.
fn rank(lane: u32) {
  storageBarrier();
  workgroupBarrier();
  for (var head = 0u; head < info.kvHeads; head++) {
    let n = counts[head];
    let run = (n + WG - 1u) / WG;
    var mine = array<u32, OPTIONS>();
    for (var i = lane * run; i < min(n, (lane + 1u) * run); i++) {
      let at = head * step.numCandidates + i;
      let option = candidates[at].z & OPTION_BITS;
      candidates[at].z = (option << 28u) | mine[option];
      mine[option]++;
    }
    for (var o = 0u; o < OPTIONS; o++) { atomicStore(&before[o * WG + lane], mine[o]); }
    workgroupBarrier();
    if (lane >= 1u && lane <= info.numFormats) {
      let list = T_HEADER + head * info.numFormats + lane - 1u;
      var sum = select(table[list], 0u, step.rebuild == 1u);
      for (var j = 0u; j * run < n; j++) { let c = atomicLoad(&before[lane * WG + j]); atomicStore(&before[lane * WG + j], sum); sum += c; }
      table[list] = sum;
    }
    workgroupBarrier();
    for (var i = lane * run; i < min(n, (lane + 1u) * run); i++) {
      let at = head * step.numCandidates + i;
      candidates[at].z += atomicLoad(&before[(candidates[at].z >> 28u) * WG + lane]);
    }
    workgroupBarrier();
  }
}

// Held slots keep their formats if they and the pinned ones fit as they are, which is tried at a price that nothing else bears; else they are judged
// like the others.
fn holdWhatFits(lane: u32, budget: u32) {
  if (info.holds == 0u || step.judged == 0u) { return; }
  if (lane == 0u) { holding = 1u; }
  countPages(lane, HIGH);
  if (lane == 0u) {
    var all = 0u;
    for (var head = 0u; head < info.kvHeads; head++) {
      all += pages[head];
      if (info.perHead == 1u && pages[head] > budget / G) { holding = 0u; }
    }
    if (all > budget) { holding = 0u; }
  }
  workgroupBarrier();
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  for (var head = lane; head < G; head += WG) { safe[head] = INFINITE; }
  reset(lane);
  let budget = table[T_BUDGET];
  holdWhatFits(lane, budget);
  // First every head for itself under its safeguard; then the heads together, or each under its part; then what the heads' last pages
  // have left over is filled: a head's own lambda falls, by three octaves at most, as long as that takes no page more.
  for (var turn = 0u; turn < 3u && info.mode != 0u && step.judged == 1u; turn++) {
    let guarding = turn == 0u;
    let filling = turn == 2u;
    if ((info.perHead == 1u && turn != 1u) || (guarding && info.safeguard == 0.0)) { continue; }
    if (filling) { countPages(lane, HIGH); }
    for (var head = lane; head < G; head += WG) {
      quota[head] = select(select(budget, u32(f32(budget) * info.safeguard), guarding) / G, pages[head], filling);
      if (filling) {
        high[head] = min(high[head], safe[head]);
        safe[head] = INFINITE;
        low[head] = high[head] - min(high[head], 3u << 23u);
      }
    }
    workgroupBarrier();
    // The lowest price first: what has been compressed fits as it is, though at a price above it some slots could take a page more.
    for (var i = 0u; i <= select(31u, 16u, filling); i++) {
      countPages(lane, select(MIDDLE, LOW, i == 0u));
      narrow(lane, select(MIDDLE, LOW, i == 0u), turn == 1u && info.perHead == 0u, budget);
    }
    if (guarding) {
      for (var head = lane; head < G; head += WG) { safe[head] = high[head]; }
      workgroupBarrier();
      reset(lane);
    }
  }
  settle(lane);
  fill(lane);
  rank(lane);
  takePages(lane);
  wakeGuests(lane);
}
