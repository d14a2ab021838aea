// no-bases: stands in for bases.wgsl where no format needs a calibration; none of it is ever called.
const KLT = false;
fn keyBasis(head: u32, row: u32, pair: u32) -> vec2f { return vec2f(0.0); }
fn queryBasis(head: u32, column: u32, pair: u32) -> vec2f { return vec2f(0.0); }
fn groupEnergy(head: u32, group: u32) -> f32 { return 0.0; }
fn groupLength(head: u32, group: u32) -> f32 { return 0.0; }
