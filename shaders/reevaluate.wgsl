// reevaluate: importance of the slots in pages, recalculated from what they received lately (AGACC 2.6), where a compression has listed them:
// I(t) = alpha S + (1 - alpha) I(t - 1), S over P(d) and a block's best where the score is. Into the candidates and the lifted pages' last words.
// One workgroup per kv head; lane = candidate. Over lib/lanes.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> step: CompressStep;
@group(0) @binding(2) var<uniform> window: Window;
@group(0) @binding(3) var<storage, read> table: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;            // (G): candidates, those in pages first
@group(0) @binding(5) var<storage, read> received: array<f32>;          // (planes, layers or 1, planeWords): (G, positions) each
@group(0) @binding(6) var<storage, read_write> candidates: array<vec4u>; // (G, numCandidates), see lib/compress-step
@group(0) @binding(7) var<storage, read_write> lifted: array<u32>;      // (pages of the layer, pageWords)

struct Window {
  first: u32,      // positions of the tokens whose attention counts: [first, end)
  end: u32,
  observed: u32,   // a layer counts one of so many
  layers: u32,
  planes: u32,     // sums by period, all of which count but one
  skipped: u32,    // the plane that is being filled; planes if there is none
  planeWords: u32,
  positions: u32,
  together: u32,   // 1: over heads and layers
  attention: u32,  // 1: importance is mean attention; else what is received is brought to its scale
  block: u32,      // positions judged by the best of them
  decay: f32,      // alpha
  rise: f32,       // times what it was from which a slot is held
  distance: f32,   // exponent of P(d) = (1 + d)^-distance, d positions before the next token (2.3); 0: no division
}

alias Part = vec2f; // of lib/lanes

// Tokens of the window that a layer counted.
fn countedBy(layer: u32) -> u32 {
  let before = (window.first + layer + window.observed - 1u) / window.observed;
  return (window.end + layer + window.observed - 1u) / window.observed - before;
}

// What a position received, added up.
fn receivedBy(position: u32, head: u32, layer: u32) -> f32 {
  var sum = 0.0;
  for (var plane = 0u; plane < window.planes; plane++) {
    if (plane == window.skipped) { continue; }
    if (window.together == 1u) {
      for (var g = 0u; g < info.kvHeads; g++) { sum += received[plane * window.planeWords + g * window.positions + position]; }
    } else {
      sum += received[(plane * window.layers + layer) * window.planeWords + head * window.positions + position];
    }
  }
  return sum;
}

// Mean attention a query over P(d), of the best of the position's block.
fn recent(position: u32, head: u32, layer: u32, queries: f32) -> f32 {
  let start = position - position % window.block;
  var best = 0.0;
  for (var other = start; other < min(start + window.block, window.end); other++) {
    var score = receivedBy(other, head, layer) / queries;
    if (window.distance > 0.0) { score *= pow(1.0 + f32(step.now - other), window.distance); }
    best = max(best, score);
  }
  return best;
}

// A slot counts if it stood in pages when the window began.
fn isOld(position: u32) -> bool { return position + info.ringSlots - info.sinks <= window.first; }

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.x;
  let layer = table[T_LAYER];
  var counted = countedBy(layer);
  if (window.together == 1u) {
    counted = 0u;
    for (var l = 0u; l < window.layers; l++) { counted += countedBy(l); }
    counted *= info.kvHeads;
  }
  let queries = f32(max(counted, 1u));
  let existing = counts[head] - step.numNew;
  var both = vec2f(0.0);                               // what was, and what was received
  for (var i = lane; i < existing; i += WG) {
    let slot = candidates[head * step.numCandidates + i];
    let format = info.formats[formatOf(slot.x)];
    let position = metaPosition(lifted[pageOf(slot.x) * info.pageWords + slotOf(slot.x) + (format.words - 1u) * format.slots]);
    if (isOld(position)) { both += vec2f(abs(bitcast<f32>(slot.y)), recent(position, head, layer, queries)); }
  }
  both = added(both, lane);
  if (counted == 0u || (window.attention == 0u && both.y <= 0.0)) { return; }
  let scale = select(both.x / both.y, 1.0, window.attention == 1u);
  for (var i = lane; i < existing; i += WG) {
    let slot = candidates[head * step.numCandidates + i];
    let format = info.formats[formatOf(slot.x)];
    let at = pageOf(slot.x) * info.pageWords + slotOf(slot.x) + (format.words - 1u) * format.slots;
    let word = lifted[at];
    let position = metaPosition(word);
    if (!isOld(position)) { continue; }
    let was = abs(bitcast<f32>(slot.y));
    let now = max(window.decay * scale * recent(position, head, layer, queries) + (1.0 - window.decay) * was, 1e-30);
    let held = now >= window.rise * was || (metaHeld(word) && now >= was);
    lifted[at] = packMeta(position, now) | select(0u, META_HELD, held);
    let mass = recentMass(step, position);
    let damage = abs(bitcast<f32>(slot.w)) * pow((now + mass) / (was + mass), info.power);
    candidates[head * step.numCandidates + i].y = bitcast<u32>(now) | (slot.y & 0x80000000u);
    candidates[head * step.numCandidates + i].w = bitcast<u32>(damage) | select(0u, HELD, held);
  }
}
