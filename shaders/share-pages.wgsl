// share-pages: page budgets of the layers seen so far, so that one threshold of importance holds for all their heads (KV-Compress, by whole pages): the
// lowest level at which every layer's pages fit the pool together. What is left over goes to the layers in equal parts. One workgroup; lanes stride over layers.
const LEVELS = 2048u;

struct Share {
  seen: u32,        // layers
  pages: u32,       // of the pool
  most: u32,        // of one layer
  tableStride: u32, // words
  least: u32,       // pages of one layer: what is pinned is never dropped, and may come after the prompt
}

@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> share: Share;
@group(0) @binding(2) var<storage, read> levels: array<u32>;          // (L, G, LEVELS): candidates of at least this level
@group(0) @binding(3) var<storage, read_write> tables: array<u32>;    // (L, tableStride): writes T_BUDGET

var<workgroup> ofLane: array<u32, WG>;
var<workgroup> together: u32;

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  var low = 0u; // takes too much, unless nothing needs to go
  var high = LEVELS;
  if (allPages(lane, 0u) <= share.pages) { high = 0u; }
  while (high > low + 1u) {
    let middle = (low + high) / 2u;
    if (allPages(lane, middle) <= share.pages) { high = middle; } else { low = middle; }
  }
  let left = (share.pages - min(share.pages, allPages(lane, high))) / unit();
  for (var layer = lane; layer < share.seen; layer += WG) {
    let part = (left / share.seen + select(0u, 1u, layer < left % share.seen)) * unit();
    tables[layer * share.tableStride + T_BUDGET] = min(pagesOf(layer, high) + part, share.most / unit() * unit());
  }
}

fn allPages(lane: u32, level: u32) -> u32 {
  var sum = 0u;
  for (var layer = lane; layer < share.seen; layer += WG) { sum += pagesOf(layer, level); }
  workgroupBarrier();
  ofLane[lane] = sum;
  workgroupBarrier();
  if (lane == 0u) {
    sum = 0u;
    for (var other = 0u; other < WG; other++) { sum += ofLane[other]; }
    together = sum;
  }
  return workgroupUniformLoad(&together);
}

// Pages of a layer whose threshold is this level; a page a head at least, and what pinned slots take.
fn pagesOf(layer: u32, level: u32) -> u32 {
  var pages = 0u;
  for (var head = 0u; head < info.kvHeads; head++) {
    var ofHead = 0u;
    for (var f = 0u; f < info.numFormats; f++) {
      var count = atLeast(layer, head, level + offset(f));
      if (f + 1u < info.numFormats) { count -= atLeast(layer, head, level + offset(f + 1u)); }
      ofHead += (count + info.formats[f].slots - 1u) / info.formats[f].slots;
    }
    pages += max(ofHead, 1u);
  }
  return min((max(pages, share.least) + unit() - 1u) / unit(), share.most / unit()) * unit();
}

// Pages by which a budget may grow: heads that share it evenly have no use for fewer than one each.
fn unit() -> u32 { return select(1u, info.kvHeads, info.perHead == 1u); }

fn atLeast(layer: u32, head: u32, level: u32) -> u32 {
  if (level >= LEVELS) { return 0u; }
  return levels[(layer * info.kvHeads + head) * LEVELS + level];
}

// Levels from the first format's threshold to another's.
fn offset(f: u32) -> u32 { return u32(log2(info.formats[f].threshold / info.formats[0].threshold) * 64.0 + 0.5); }
