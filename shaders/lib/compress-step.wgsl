// compress-step: which slots a compression takes in. Written once per submit.
struct CompressStep {
  numNew: u32,         // slots per kv head that come in
  firstPosition: u32,  // position of the first of them
  firstRow: u32,       // its row in the source (prompt staging: the position; ring: wraps at `wrap`)
  baseRow: u32,        // row where the wrapping range begins (ring: number of sinks)
  wrap: u32,           // rows of the wrapping range; 0: no wrapping
  capacity: u32,       // rows per kv head in the source
  planeWords: u32,     // words from keys to values in the source
  numCandidates: u32,  // room per kv head in the candidate buffers
  importanceStride: u32,
  rebuild: u32,        // 1: existing slots are judged again; 0: they stay
  uniformImportance: u32, // 1: there is no score; every slot counts the same
  spare: u32,
}

// Row of the j-th new slot in the source.
fn sourceRow(step: CompressStep, j: u32) -> u32 {
  let row = step.firstRow + j;
  if (step.wrap == 0u) { return row; }
  return step.baseRow + (row % step.wrap);
}
