// pool-read: pages in one segment, bound at POOL.
@group(0) @binding(POOL) var<storage, read> pool: array<u32>;
fn poolWord(page: u32, word: u32) -> u32 { return pool[page * info.pageWords + word]; }
