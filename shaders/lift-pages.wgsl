// lift-pages: copies a layer's pages into scratch, in the order of its table, so that the pool can be written anew; and opens the rows of a ring that is kept in
// 8 bits (lib/open-ring). One workgroup per page, then one per row.
@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> lifted: array<u32>; // (pages of the layer, pageWords)

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let pages = groups.x - ringRows();
  if (group.x >= pages) {
    openRow(group.x - pages, lane);
    return;
  }
  if (group.x >= table[T_USED]) { return; }
  let page = table[T_HEADER + 2u * G * info.numFormats + group.x];
  for (var word = lane; word < info.pageWords; word += WG) {
    lifted[group.x * info.pageWords + word] = poolWord(page, word);
  }
}
