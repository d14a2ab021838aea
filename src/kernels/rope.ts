// rope: shaders/rope.wgsl, a chunk's queries, keys and values after the projection to rotated queries and f16 staging rows (or ring slots).

import halfLib from "../../shaders/lib/half.wgsl?raw";
import ropePair from "../../shaders/lib/rope-pair.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/rope.wgsl?raw";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import type { RopePairing } from "../model/model-config";

export interface RopeArgs {
  readonly heads: number; // H
  readonly kvHeads: number; // G
  readonly headSize: number; // D, a multiple of 4
  readonly pairing: RopePairing;
  readonly step: GPUBuffer; // Step
  readonly qkv: BufferView; // (chunk, (H + 2G) D) f32, biased
  readonly table: BufferView; // (context, D / 2) vec2f cos, sin
  readonly queries: BufferView; // (chunk, H D) f32
  /** Row step.keyRow + t is written. The capacity is the view's size, which must be exact: it is not a constant, lest every prompt compile anew. */
  readonly keys: BufferView; // (G, capacity, D / 2) u32
  readonly values: BufferView; // (G, capacity, D / 2) u32
}

export function bindRope(gpu: Gpu, args: RopeArgs): { record(recorder: Recorder, tokens: number): void } {
  const { heads, kvHeads, headSize } = args;
  if (headSize % 4 !== 0) throw new EngineError("INTERNAL", `RoPE: head size ${headSize}, expected a multiple of 4.`);
  const rowBytes = kvHeads * headSize * 2;
  for (const view of [args.keys, args.values])
    if (view.size % rowBytes !== 0) throw new EngineError("INTERNAL", `RoPE: a key or value buffer of ${view.size} bytes, expected whole rows of ${rowBytes}.`);
  const WG = 64;
  const kernel = gpu.kernels.get({
    name: "rope",
    code: [halfLib, stepLib, ropePair, code],
    bindings: ["uniform", "read", "read", "write", "write", "write"],
    constants: { WG, H: heads, G: kvHeads, D: headSize, HALF: args.pairing === "half" ? 1 : 0 },
  });
  const group = kernel.bind([args.step, args.qkv, args.table, args.queries, args.keys, args.values]);
  const groups = Math.ceil(((heads + 2 * kvHeads) * headSize) / 2 / WG);
  return { record: (recorder, tokens) => recorder.dispatch(kernel, group, groups, tokens) };
}
