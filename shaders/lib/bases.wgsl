// bases: one layer's calibrated bases of keys, bound at BASES (src/cache/bases.ts): per kv head the key's matrix, (D, D/2) f16 pairs,
// and the query's, transposed; then per kv head eight f32. Needs the literals D and G.
const KLT = true;
@group(0) @binding(BASES) var<storage, read> bases: array<u32>;

// Two columns of a row of the matrix that turns k - mean into channels of variance 1.
fn keyBasis(head: u32, row: u32, pair: u32) -> vec2f { return unpack2x16float(bases[(2u * head * D + row) * (D / 2u) + pair]); }
// Two rows of a column of the matrix that turns a query so that its product with those channels is q . (k - mean): the inverse, transposed.
fn queryBasis(head: u32, column: u32, pair: u32) -> vec2f { return unpack2x16float(bases[((2u * head + 1u) * D + column) * (D / 2u) + pair]); }
// Part of a group's channels in the energy that counts, over the mean of the groups.
fn groupEnergy(head: u32, group: u32) -> f32 { return bitcast<f32>(bases[G * D * D + 8u * head + group]); }
// What a unit channel of the group adds to |k - mean|^2, on average.
fn groupLength(head: u32, group: u32) -> f32 { return bitcast<f32>(bases[G * D * D + 8u * head + 4u + group]); }
