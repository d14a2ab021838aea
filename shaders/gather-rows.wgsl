// gather-rows: chosen rows of a table, one after the other. A lane takes four columns.
override WG: u32;
override WIDTH: u32;             // columns / 4

@group(0) @binding(0) var<storage, read> chosen: array<u32>;             // (n): rows of the source
@group(0) @binding(1) var<storage, read> source: array<vec4f>;           // (rows, WIDTH)
@group(0) @binding(2) var<storage, read_write> gathered: array<vec4f>;   // (n, WIDTH)

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * WG + lane;
  if (column >= WIDTH) { return; }
  gathered[group.y * WIDTH + column] = source[chosen[group.y] * WIDTH + column];
}
