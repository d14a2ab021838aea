// columns-plain: 32 columns of an input row, each lane reading all of them at the same address. For hardware adapters.
@group(0) @binding(2) var<storage, read> x: array<vec4f>;  // (rows, K / 4)

struct Lane { @builtin(local_invocation_index) index: u32 }

struct Columns { at: u32 }

fn columns(at: u32, lane: Lane) -> Columns {
  return Columns(at);
}

fn part0(c: Columns) -> vec4f { return x[c.at]; }
fn part1(c: Columns) -> vec4f { return x[c.at + 1u]; }
fn part2(c: Columns) -> vec4f { return x[c.at + 2u]; }
fn part3(c: Columns) -> vec4f { return x[c.at + 3u]; }
fn part4(c: Columns) -> vec4f { return x[c.at + 4u]; }
fn part5(c: Columns) -> vec4f { return x[c.at + 5u]; }
fn part6(c: Columns) -> vec4f { return x[c.at + 6u]; }
fn part7(c: Columns) -> vec4f { return x[c.at + 7u]; }
