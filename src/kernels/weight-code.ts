// weight-code: the shader files that read a kind of weight, and 32 columns of an input the way the adapter likes best.

import columnsBy4 from "../../shaders/lib/columns-by4.wgsl?raw";
import columnsBy8 from "../../shaders/lib/columns-by8.wgsl?raw";
import columnsPlain from "../../shaders/lib/columns-plain.wgsl?raw";
import weight from "../../shaders/lib/weight.wgsl?raw";
import weightBf16 from "../../shaders/lib/weight-bf16.wgsl?raw";
import weightF16 from "../../shaders/lib/weight-f16.wgsl?raw";
import weightF32 from "../../shaders/lib/weight-f32.wgsl?raw";
import weightQ4 from "../../shaders/lib/weight-q4.wgsl?raw";
import weightQ5 from "../../shaders/lib/weight-q5.wgsl?raw";
import weightQ6 from "../../shaders/lib/weight-q6.wgsl?raw";
import weightQ8 from "../../shaders/lib/weight-q8.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { WeightKind } from "../model/weights";

const KINDS: Readonly<Record<WeightKind, string>> = {
  f32: weightF32,
  f16: weightF16,
  bf16: weightBf16,
  q8: weightQ8,
  q4: weightQ4,
  q5: weightQ5,
  q6: weightQ6,
};

/** Binding 1 and how to unpack it. */
export function weightCode(kind: WeightKind): readonly string[] {
  return [weight, KINDS[kind]];
}

/** Binding 2 and how to read it. May begin with `enable`, so it stands first in a kernel's code. */
export function columnsCode(gpu: Gpu): string {
  // Only where measured: lavapipe 10 times, SwiftShader 1.2 times faster. Real GPUs read a uniform address once for all lanes.
  const size = subgroupSize(gpu);
  return size >= 8 ? columnsBy8 : size === 4 ? columnsBy4 : columnsPlain;
}

/** Whether 8 lanes of a software adapter can share what one of them read. */
export function subgroupsOf8(gpu: Gpu): boolean {
  return subgroupSize(gpu) >= 8;
}

function subgroupSize(gpu: Gpu): number {
  return gpu.software && gpu.features.subgroups ? (gpu.device.adapterInfo?.subgroupMinSize ?? 0) : 0;
}
