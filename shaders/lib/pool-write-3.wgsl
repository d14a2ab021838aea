// pool-write-3: pages in up to three segments of SEGMENT_PAGES each, bound at POOL to POOL + 2.
@group(0) @binding(POOL) var<storage, read_write> pool0: array<u32>;
@group(0) @binding(POOL + 1u) var<storage, read_write> pool1: array<u32>;
@group(0) @binding(POOL + 2u) var<storage, read_write> pool2: array<u32>;
fn setPoolWord(page: u32, word: u32, value: u32) {
  let at = (page % SEGMENT_PAGES) * info.pageWords + word;
  switch page / SEGMENT_PAGES {
    case 0u: { pool0[at] = value; }
    case 1u: { pool1[at] = value; }
    default: { pool2[at] = value; }
  }
}
