// pool-read-3: pages in up to three segments of SEGMENT_PAGES each, bound at POOL to POOL + 2.
@group(0) @binding(POOL) var<storage, read> pool0: array<u32>;
@group(0) @binding(POOL + 1u) var<storage, read> pool1: array<u32>;
@group(0) @binding(POOL + 2u) var<storage, read> pool2: array<u32>;
fn poolWord(page: u32, word: u32) -> u32 {
  let at = (page % SEGMENT_PAGES) * info.pageWords + word;
  switch page / SEGMENT_PAGES {
    case 0u: { return pool0[at]; }
    case 1u: { return pool1[at]; }
    default: { return pool2[at]; }
  }
}
