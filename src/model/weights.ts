// weights: how matrices lie on the GPU, whatever the GGUF type they came from. Written by src/load, read by src/kernels.
//
// A matrix (rows x cols, y = W x) is stored transposed in units of 32 columns, so that neighbouring lanes (= rows) read
// neighbouring words. Word j of unit u of row r stands at ((u * wordsPerUnit + j) * paddedRows + r). Inside a unit:
//   f32   32 words, one element each                    f16, bf16   16 words: elements 2j (low half), 2j+1 (high half)
//   q8     8 words of signed bytes, elements 4j..4j+3;  then one scale word
//   q4     4 words: byte b of word j holds element 4j+b (low nibble) and 16+4j+b (high nibble); then one scale word
//   q5     as q4, then one word of fifth bits: bit (8b + j) belongs to element 4j+b, bit (8b + 4+j) to 16+4j+b; then one scale word
//   q6     as q4, then two words of bits 4..5: field (8b + 2j) of the first belongs to element 4j+b, of the second to 16+4j+b; then one scale word
// Scale word: q4, q5, q8: value = a * code + m with a = f16 low half, m = f16 high half (q8: m = 0).
//             q6: value = a * (code - 32), a = low half for elements 0..15, high half for 16..31.

export type WeightKind = "f32" | "f16" | "bf16" | "q8" | "q4" | "q5" | "q6";

/** Words of 32 bits that one unit of 32 columns takes. */
export const WORDS_PER_UNIT: Readonly<Record<WeightKind, number>> = { f32: 32, f16: 16, bf16: 16, q8: 9, q4: 5, q5: 6, q6: 7 };

/** Rows are padded to this many, so that a workgroup never reads past the end. */
export const ROW_PADDING = 64;

/** A run of whole rows in one buffer, below the adapter's binding limit. */
export interface WeightShard {
  readonly firstRow: number;
  readonly rows: number;
  readonly paddedRows: number;
  readonly buffer: GPUBuffer; // (cols / 32, wordsPerUnit, paddedRows) u32
}

export interface Weight {
  readonly name: string;
  readonly kind: WeightKind;
  readonly rows: number;
  readonly cols: number; // a multiple of 32
  readonly shards: readonly WeightShard[];
}

/** A norm's gain or a bias: f32, one binding. */
export interface Vector {
  readonly name: string;
  readonly length: number;
  readonly buffer: GPUBuffer; // (length) f32
}

/** Q, K and V stacked in one matrix where their types agree, three otherwise; the same for gate and up. */
export interface LayerWeights {
  readonly attentionNorm: Vector;
  readonly qkv: readonly Weight[]; // rows: H*D queries, then G*D keys, then G*D values
  readonly qkvBias?: Vector; // ((H + 2G) * D), qwen2
  readonly attentionOutput: Weight; // (hidden, H*D)
  readonly ffnNorm: Vector;
  readonly gateUp: readonly Weight[]; // rows: ffn gates, then ffn ups
  readonly ffnDown: Weight; // (hidden, ffn)
}

export interface ModelWeights {
  readonly embedding: Weight; // (V, hidden)
  readonly head: Weight; // the same object as `embedding` where tied
  readonly finalNorm: Vector;
  readonly layers: readonly LayerWeights[];
}
