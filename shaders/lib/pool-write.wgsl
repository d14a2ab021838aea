// pool-write: pages in one segment, bound at POOL.
@group(0) @binding(POOL) var<storage, read_write> pool: array<u32>;
fn setPoolWord(page: u32, word: u32, value: u32) { pool[page * info.pageWords + word] = value; }
