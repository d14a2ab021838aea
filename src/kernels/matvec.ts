// matvec: shaders/matvec.wgsl for one token. The arguments are product.ts's.

import code from "../../shaders/matvec.wgsl?raw";
import type { Gpu } from "../gpu/device";
import { bindProduct, type ProductArgs, type ProductOp } from "./product";

/** Workgroups that fill a GPU; a matrix with fewer splits its columns over more slices. */
const WORKGROUPS = 256;

/** y = W x for the one token of the step. `split` forces the number of slices, for tests. */
export function bindMatvec(gpu: Gpu, args: ProductArgs, split = slices(gpu, args)): ProductOp {
  return bindProduct(
    gpu,
    {
      name: "matvec",
      code,
      constants: { WG: 32, SPLIT: split },
      tokenGroups: () => 1,
    },
    args,
  );
}

/** 1 on software adapters, where a barrier costs more than it wins. */
function slices(gpu: Gpu, { weights }: ProductArgs): number {
  if (gpu.software) return 1;
  const rows = weights.reduce((sum, weight) => sum + weight.rows, 0);
  return rows / 64 >= WORKGROUPS ? 2 : 8;
}
