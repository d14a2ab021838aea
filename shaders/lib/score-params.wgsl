// score-params: what stays fixed while one prompt is scored. One uniform buffer, written when the scorer is made.
struct ScoreParams {
  tokens: u32,      // of the prompt
  sinks: u32,       // first positions, left out of statistics and scores
  capacity: u32,    // rows per head of the key and value buffers
  epsilon: f32,     // added to the expected attention before the value norm
}
