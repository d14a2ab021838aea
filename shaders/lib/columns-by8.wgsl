// columns-by8: 32 columns of an input row, an eighth in each of 8 lanes, handed round by subgroup broadcasts. For software adapters with
// subgroups of 8 (lavapipe): a load costs them the same whether its lanes agree on the address or not, 25 times an arithmetic operation.
enable subgroups;
diagnostic(off, subgroup_uniformity);  // a subgroup never spans two slices of matvec, which are multiples of 32 lanes

@group(0) @binding(2) var<storage, read> x: array<vec4f>;  // (rows, K / 4)

struct Lane { @builtin(local_invocation_index) index: u32, @builtin(subgroup_invocation_id) inSubgroup: u32 }

struct Columns { mine: vec4f }

fn columns(at: u32, lane: Lane) -> Columns {
  return Columns(x[at + (lane.inSubgroup & 7u)]);
}

fn part0(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 0u); }
fn part1(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 1u); }
fn part2(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 2u); }
fn part3(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 3u); }
fn part4(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 4u); }
fn part5(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 5u); }
fn part6(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 6u); }
fn part7(c: Columns) -> vec4f { return subgroupBroadcast(c.mine, 7u); }
