// moments-f16: records of moments as a cache keeps them, behind the energies and factors of the layer's kv heads: planes as lib/moments-record has them, in f16, a
// word for two pairs; then the scalars, f32. Needs D of its kernel, a multiple of 8.
override FIRST: u32; // word where the records begin, even
alias Four = vec2u;  // four pairs of a plane
fn unpackFour(stored: Four) -> vec4f { return vec4f(unpack2x16float(stored.x), unpack2x16float(stored.y)); }

// Where a head's record begins, in Fours; each plane has D / 8.
fn recordOf(head: u32) -> u32 { return FIRST / 2u + head * (7u * (D / 8u) + 2u); }
