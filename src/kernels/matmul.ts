// matmul: shaders/matmul.wgsl for a chunk of tokens. The arguments are product.ts's.

import code from "../../shaders/matmul.wgsl?raw";
import type { Gpu } from "../gpu/device";
import { bindProduct, type ProductArgs, type ProductOp } from "./product";

/** Y = W X^T for any number of tokens: step.tokens of them, `tokens` at recording. */
export function bindMatmul(gpu: Gpu, args: ProductArgs): ProductOp {
  // CPUs have 16 vector registers: 2 rows x 8 tokens of sums would spill (lavapipe: 12 GFLOP/s a core with 4 tokens, 9 with 8).
  const wide = !gpu.software;
  return bindProduct(
    gpu,
    {
      name: "matmul",
      code,
      constants: { WG: gpu.software ? 32 : 64, WIDE: wide ? 1 : 0 },
      tokenGroups: (tokens) => Math.ceil(tokens / (wide ? 8 : 4)),
    },
    args,
  );
}
