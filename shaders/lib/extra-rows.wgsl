// extra-rows: rows of a kv head beside sinks and ring: markers, then guests. Needs the uniform info; they stand in the layer's table.
// A row: key and value in f16 pairs, then four words.
const EXTRA_WORDS = D + 4u;
const X_BIAS = D;             // f32, added to the row's logit; -1e30 in an empty row
const X_WEIGHT = D + 1u;      // f32: importance of all that a marker stands for
const X_COUNT = D + 2u;       // tokens that it stands for
const X_FIRST = D + 3u;       // position where its span begins, or NOWHERE; it ends where the next marker's begins
const NOWHERE = 0xFFFFFFFFu;

// Words from the layer's table to a row.
fn extraAt(head: u32, row: u32) -> u32 { return info.extraStart + (head * info.extras + row) * EXTRA_WORDS; }
