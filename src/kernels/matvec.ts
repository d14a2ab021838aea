// matvec: shaders/matvec.wgsl for one token. The arguments are product.ts's.

import code from "../../shaders/matvec.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { Weight } from "../model/weights";
import { bindProduct, type ProductArgs, type ProductOp, productGroups } from "./product";

/** Workgroups that fill a GPU; a matrix with fewer splits its columns over more slices. */
const WORKGROUPS = 256;

/** Lanes of a workgroup that own rows: two each. */
const WG = 32;

/** Sums of squares that a product with these weights and `normOut` writes. */
export function squaresOf(weights: readonly Weight[]): number {
  return productGroups(weights, { constants: { WG } });
}

/** y = W x for the one token of the step. `split` forces the number of slices, for tests. */
export function bindMatvec(gpu: Gpu, args: ProductArgs, split = slices(gpu, args)): ProductOp {
  return bindProduct(
    gpu,
    {
      name: "matvec",
      code,
      constants: { WG, SPLIT: split },
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
