// step: what changes from one submit to the next. One uniform buffer, written once per submit, bound by every kernel that needs it.
struct Step {
  tokens: u32,         // tokens in this submit: a chunk of the prompt, or 1
  firstRow: u32,       // row of the hidden states that holds the first of them
  firstPosition: u32,  // its position in the sequence
  keyRow: u32,         // row of the key and value buffers its key goes to: staging row, or slot of the ring
  context: u32,        // tokens whose keys stand in the staging buffers, this submit's included
  ringLength: u32,     // rows of the ring that are scored, the sinks' included
  seed: u32,           // of the sampler
  index: u32,          // tokens generated so far
}
