// sparse: says to a kernel that its policy has sparse formats (AGACC 2.4.2): of a key or value less its mean, in the model's own basis, the
// largest channels as codes behind a mask of one bit a channel; the others stand at the mean.
const SPARSE = true;
