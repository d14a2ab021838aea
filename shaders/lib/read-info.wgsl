// read-info: what selective reading is told once per cache. Needs lib/selection.
struct ReadInfo {
  span: u32,           // slots of a chunk
  keep: u32,           // chunks a head reads at most
  pairs: u32,          // pairs of chunks a head's bounds have room for
  channels: u32,       // that are looked at: D, or the r of hybrid sparse attention
  sparse: u32,         // 1: hybrid sparse attention (RocketKV), 0: bounds of every channel (Quest)
  tau: f32,            // the last selection is used again from this cosine of the queries on; above 1: never
  stride: u32,         // words of a head's part of the selection
  anchors: u32,        // word where the queries stand that chose
  left: u32,           // words of a head's part, behind the chunks, that say which chunks a turn's filter left out; 0: there is none
}
