// moments-record: what is kept of a prompt per (layer, kv head) to score later tokens by. One record of 7 D/2 + 4 floats, all in order of RoPE pairs:
// mean query x (D/2), mean query y, covariance xx, xy, yy (2x2 blocks), mean unit key x, mean unit key y, then the scalars below.
// A prompt's scorer has them in f32 (lib/moments-f32), a cache keeps them in f16 (lib/moments-f16).
const MEAN_X = 0u;
const MEAN_Y = 1u;
const COV_XX = 2u;
const COV_XY = 3u;
const COV_YY = 4u;
const KEY_X = 5u;
const KEY_Y = 6u;
const SCALARS = 7u;          // (log-normaliser of the condensed expected attention, sum of diversities, mean |q|^2, queries counted)
