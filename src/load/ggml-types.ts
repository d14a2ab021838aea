// ggml-types: the tensor types the engine reads, their block sizes, and the kind of weight each becomes on the GPU.
// Source: ggml's ggml-common.h. Leaves to others: the bits inside a block (repack.ts).

import type { WeightKind } from "../model/weights";

export type GgmlType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q4_K" | "Q5_K" | "Q6_K";

export interface GgmlTypeInfo {
  /** The number that stands for the type in a file. */
  readonly id: number;
  /** Elements of a block, and its bytes. */
  readonly elements: number;
  readonly bytes: number;
  readonly kind: WeightKind;
}

export const GGML_TYPES: Readonly<Record<GgmlType, GgmlTypeInfo>> = {
  F32: { id: 0, elements: 1, bytes: 4, kind: "f32" },
  F16: { id: 1, elements: 1, bytes: 2, kind: "f16" },
  BF16: { id: 30, elements: 1, bytes: 2, kind: "bf16" },
  Q8_0: { id: 8, elements: 32, bytes: 34, kind: "q8" },
  Q4_0: { id: 2, elements: 32, bytes: 18, kind: "q4" },
  Q4_1: { id: 3, elements: 32, bytes: 20, kind: "q4" },
  Q5_0: { id: 6, elements: 32, bytes: 22, kind: "q5" },
  Q5_1: { id: 7, elements: 32, bytes: 24, kind: "q5" },
  Q4_K: { id: 12, elements: 256, bytes: 144, kind: "q4" },
  Q5_K: { id: 13, elements: 256, bytes: 176, kind: "q5" },
  Q6_K: { id: 14, elements: 256, bytes: 210, kind: "q6" },
};

/** The type with this number in a file, if the engine reads it. */
export function ggmlTypeOf(id: number): GgmlType | undefined {
  return (Object.keys(GGML_TYPES) as GgmlType[]).find((type) => GGML_TYPES[type].id === id);
}

/** Bytes of one row of `cols` elements; `cols` is a multiple of the block's elements. */
export function rowBytes(type: GgmlType, cols: number): number {
  const { elements, bytes } = GGML_TYPES[type];
  return (cols / elements) * bytes;
}
