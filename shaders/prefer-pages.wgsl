// prefer-pages: page budgets of the layers seen so far in proportion to their preferences (CAKE's cascade): the layers there are share all pages, none has more
// than the most, what is capped off goes to the others, and no budget ever grows. One lane: layers are few.
struct Share {
  seen: u32,        // layers
  pages: u32,       // of the pool
  most: u32,        // of one layer
  tableStride: u32, // words
  least: u32,       // pages of one layer: what is pinned is never dropped, and may come after the prompt
}

@group(0) @binding(0) var<uniform> info: CacheInfo;
@group(0) @binding(1) var<uniform> share: Share;
@group(0) @binding(2) var<storage, read> preferences: array<f32>;     // (L)
@group(0) @binding(3) var<storage, read_write> tables: array<u32>;    // (L, tableStride): writes T_BUDGET

// Pages by which a budget may grow: heads that share it evenly have no use for fewer than one each. Also what every layer has at least.
fn unit() -> u32 { return select(1u, info.kvHeads, info.perHead == 1u); }

// Pages of a layer where one unit of preference buys so many.
fn pagesOf(layer: u32, price: f32) -> u32 {
  let exact = min(price * preferences[layer], f32(share.most));
  return max(u32(exact) / unit() * unit(), (max(info.kvHeads, share.least) + unit() - 1u) / unit() * unit());
}

fn allPages(price: f32) -> u32 {
  var sum = 0u;
  for (var layer = 0u; layer < share.seen; layer++) { sum += pagesOf(layer, price); }
  return sum;
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lane: u32) {
  if (lane > 0u) { return; }
  var low = 0u;                                        // bits of a price that fits, and of one that does not or changes nothing
  var high = 0x7F000000u;
  while (high > low + 1u) {
    let middle = (low + high) / 2u;
    if (allPages(bitcast<f32>(middle)) <= share.pages) { low = middle; } else { high = middle; }
  }
  for (var layer = 0u; layer < share.seen; layer++) {
    var pages = pagesOf(layer, bitcast<f32>(low));
    if (layer + 1u < share.seen) { pages = min(pages, tables[layer * share.tableStride + T_BUDGET]); }
    tables[layer * share.tableStride + T_BUDGET] = pages;
  }
}
