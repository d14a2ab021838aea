// selection: what a layer reads of its pages, per kv head S_HEADER words, the chosen chunks by rising index, and a bit for every chunk that the
// turn's filter left out, where there is one; behind the heads' parts the queries that chose them, (H, D) f32, one word each. A chunk is `span` neighbours in the head's list of pages.
const S_SLOTS = 0u;    // slots that are read now
const S_SPAN = 1u;     // slots of a chunk; the last one of a list may be short
const S_STRIDE = 2u;   // words from one head's part to the next's
const S_VALID = 3u;    // 0: the list has changed since
const S_STEPS = 4u;    // tokens decoded, and over all of them:
const S_READ = 5u;     // slots read
const S_SCORED = 6u;   // chunks whose bounds were read
const S_CHOSEN = 7u;   // times the chunks were chosen anew
const S_HEADER = 8u;
