// compress-step: which slots a compression takes in. Written once per submit.
struct CompressStep {
  numNew: u32,         // slots per kv head that come in
  firstPosition: u32,  // position of the first of them, where they are neighbours; firstPosition + numNew is the oldest position in the ring
  firstRow: u32,       // its row in the source (prompt staging: the position; ring: wraps at `wrap`)
  baseRow: u32,        // row where the wrapping range begins (ring: number of sinks)
  wrap: u32,           // rows of the wrapping range; 0: no wrapping
  capacity: u32,       // rows per kv head in the source
  planeWords: u32,     // words from keys to values in the source
  numCandidates: u32,  // room per kv head in the candidate buffers
  importanceStride: u32,
  rebuild: u32,        // 1: existing slots are judged again; 0: they stay
  uniformImportance: u32, // 1: there is no score; every slot counts the same
  meanRows: u32,       // rows from firstRow on that the means are taken over, once per cache
  now: u32,            // position of the next token
  judged: u32,         // 0: slots in pages keep their formats, those that come in get the richest
  positionStart: u32,  // words from the source's start to its rows' positions, where they are no neighbours; 0: they are
}

// Row of the j-th new slot in the source.
fn sourceRow(step: CompressStep, j: u32) -> u32 {
  let row = step.firstRow + j;
  if (step.wrap == 0u) { return row; }
  return step.baseRow + (row % step.wrap);
}

// A candidate, four words: where it stands; its importance, sign bit set where it is pinned; n, the variance of its logit's error
// per unit of the key's relative error, sign bit set where a guest takes its place; d, what dropping it costs (both f32), sign bit set where it is held. choose-formats overwrites n by the choice:
// option << 28 | rank in its list; option 0 = dropped, else format + 1.

fn isDropped(candidate: vec4u) -> bool { return (candidate.z >> 28u) == 0u && (candidate.y & 0x7FFFFFFFu) != 0u; } // no importance: no candidate
const HELD = 0x80000000u;
const TAKEN_OVER = 0x80000000u;

// Where a slot in pages stands: ordinal of its page in the layer's table, slot in the page (of at most 512), its format.
fn placeInPages(format: u32, page: u32, slot: u32) -> u32 { return 0x80000000u | (format << 27u) | (page << 9u) | slot; }
fn isInPages(place: u32) -> bool { return (place & 0x80000000u) != 0u; }
fn formatOf(place: u32) -> u32 { return (place >> 27u) & 15u; }
fn pageOf(place: u32) -> u32 { return (place >> 9u) & 0x3FFFFu; }
fn slotOf(place: u32) -> u32 { return place & 0x1FFu; }
