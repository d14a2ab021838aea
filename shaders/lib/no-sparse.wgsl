// no-sparse: stands in for sparse.wgsl where no format is sparse; what asks for it is never compiled.
const SPARSE = false;
