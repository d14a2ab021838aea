// columns-by4: as columns-by8, for subgroups of 4 (SwiftShader): a quarter of 32 columns in each of 4 lanes.
enable subgroups;
diagnostic(off, subgroup_uniformity);  // a subgroup never spans two slices of matvec, which are multiples of 32 lanes

@group(0) @binding(2) var<storage, read> x: array<vec4f>;  // (rows, K / 4)

struct Lane { @builtin(local_invocation_index) index: u32, @builtin(subgroup_invocation_id) inSubgroup: u32 }

struct Columns { lower: vec4f, upper: vec4f }

fn columns(at: u32, lane: Lane) -> Columns {
  let mine = at + (lane.inSubgroup & 3u);
  return Columns(x[mine], x[mine + 4u]);
}

fn part0(c: Columns) -> vec4f { return subgroupBroadcast(c.lower, 0u); }
fn part1(c: Columns) -> vec4f { return subgroupBroadcast(c.lower, 1u); }
fn part2(c: Columns) -> vec4f { return subgroupBroadcast(c.lower, 2u); }
fn part3(c: Columns) -> vec4f { return subgroupBroadcast(c.lower, 3u); }
fn part4(c: Columns) -> vec4f { return subgroupBroadcast(c.upper, 0u); }
fn part5(c: Columns) -> vec4f { return subgroupBroadcast(c.upper, 1u); }
fn part6(c: Columns) -> vec4f { return subgroupBroadcast(c.upper, 2u); }
fn part7(c: Columns) -> vec4f { return subgroupBroadcast(c.upper, 3u); }
