// prefill-attention: shaders/prefill-attention.wgsl, a chunk's rotated queries over the staging keys and values.

import rowsBy8 from "../../shaders/lib/rows-by8.wgsl?raw";
import rowsPlain from "../../shaders/lib/rows-plain.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import code from "../../shaders/prefill-attention.wgsl?raw";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { subgroupsOf8 } from "./weight-code";

export interface PrefillAttentionArgs {
  readonly heads: number; // H
  readonly kvHeads: number; // G
  readonly headSize: number; // D, a multiple of 32
  readonly step: GPUBuffer; // Step: query t stands at row context - tokens + t
  readonly queries: BufferView; // (chunk, H D) f32, rotated
  /** Rows 0..step.context are filled. As in rope, the capacity is the view's size, which must be exact. */
  readonly keys: BufferView; // (G, capacity, D / 2) u32
  readonly values: BufferView; // (G, capacity, D / 2) u32
  readonly output: BufferView; // (chunk, H D) f32
  /** Rows whose key begins with DROPPED are not attended to, as if they had been evicted; the first row must be none of them. */
  readonly masked?: boolean;
}

/** A key's first word that marks its row as dropped: f16's largest number, which no key is. */
export const DROPPED = 0x7bff;

export function bindPrefillAttention(gpu: Gpu, args: PrefillAttentionArgs): { record(recorder: Recorder, tokens: number): void } {
  const { heads, kvHeads, headSize } = args;
  if (headSize % 32 !== 0 || heads % kvHeads !== 0)
    throw new EngineError(
      "INTERNAL",
      `Prefill attention: ${heads} heads over ${kvHeads} kv heads of ${headSize}; expected a multiple, and head sizes in steps of 32.`,
    );
  const WG = gpu.software ? 32 : 64;
  const perKvHead = heads / kvHeads;
  const kernel = gpu.kernels.get({
    name: "prefill-attention",
    code: [subgroupsOf8(gpu) ? rowsBy8 : rowsPlain, `const D = ${headSize}u;`, stepLib, code],
    bindings: ["uniform", "read", "read", "read", "write"],
    constants: { WG, G: kvHeads, GROUP: perKvHead, SCALE: 1 / Math.sqrt(headSize), MASKED: args.masked ? 1 : 0 },
  });
  const group = kernel.bind([args.step, args.queries, args.keys, args.values, args.output]);
  return { record: (recorder, tokens) => recorder.dispatch(kernel, group, Math.ceil((tokens * perKvHead) / WG), kvHeads) };
}
