// ring-rows: rows of sinks and ring as they are kept. Needs the uniform info.

// Words of a row of the ring, a key or a value: f16 pairs; or codes, four a word, then scale and zero.
fn ringRowWords() -> u32 { return select(D / 2u, D / 4u + 1u, info.ringBits == 8u); }
