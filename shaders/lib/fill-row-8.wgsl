// fill-row-8: a prompt's row into a ring of 8 bits. Needs lib/code-row.
fn ringWords() -> u32 { return D / 4u + 1u; }

fn fillRow(start: u32, to: u32, lane: u32) {
  for (var word = lane; word < D / 2u; word += WG) {
    let pair = unpack2x16float(source[start + word]);
    channels[2u * word] = pair.x;
    channels[2u * word + 1u] = pair.y;
  }
  codeRow(to, lane);
}
