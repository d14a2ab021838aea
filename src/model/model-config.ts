// model-config: an architecture as data. Read from GGUF metadata by src/load, obeyed by src/model.

/** How RoPE pairs channels: (2i, 2i+1) in GGUF's llama, (i, i + D/2) in qwen2. */
export type RopePairing = "neighbour" | "half";

/** RoPE's frequencies, with scaling already resolved into per-pair divisors. */
export interface RopeConfig {
  readonly theta: number;
  readonly pairing: RopePairing;
  /** One divisor per pair of channels (length D/2): all 1 without scaling; linear, llama3 and longrope put theirs here. */
  readonly divisors: Float64Array;
  /** Factor on cos and sin (yarn's and longrope's attention factor), 1 otherwise. */
  readonly magnitude: number;
}

/** Everything the forward pass must know about a model. Dims as in the style sheet: L, H, G, D, V. */
export interface ModelConfig {
  readonly architecture: "llama" | "qwen2";
  readonly name: string;
  readonly layers: number; // L, e.g. 30
  readonly hidden: number; // e.g. 576
  readonly ffn: number; // e.g. 1536
  readonly heads: number; // H query heads, e.g. 9
  readonly kvHeads: number; // G, e.g. 3
  readonly headSize: number; // D, e.g. 64
  readonly vocab: number; // V, e.g. 49152
  readonly context: number; // positions the model was made for, e.g. 8192
  readonly normEpsilon: number;
  readonly rope: RopeConfig;
}
