// fill-row-16: a prompt's row into a ring of f16 pairs, as it stands.
fn ringWords() -> u32 { return D / 2u; }

fn fillRow(start: u32, to: u32, lane: u32) {
  for (var word = lane; word < D / 2u; word += WG) { rows[to + word] = source[start + word]; }
}
