// make-gguf: writes small GGUF files for tests, sound or damaged on purpose. Follows the format's description in ggml's docs/gguf.md.

import type { ByteSource } from "../../../src/load/byte-source";
import { blobSource } from "../../../src/load/byte-source";
import { GGML_TYPES, type GgmlType, rowBytes } from "../../../src/load/ggml-types";

export type Value = string | number | boolean | { readonly float: number } | readonly string[] | readonly number[];

export interface TestTensor {
  readonly name: string;
  /** ggml's order: columns first. */
  readonly shape: readonly number[];
  readonly type: GgmlType;
  /** The type's number in the file, if it is to be another one. */
  readonly typeId?: number;
  /** Its offset from the data's start, if it is to be a wrong one. */
  readonly offset?: number;
  readonly bytes: Uint8Array;
}

export interface TestFile {
  readonly metadata: Readonly<Record<string, Value>>;
  readonly tensors: readonly TestTensor[];
  readonly version?: number;
}

export interface ModelOptions {
  readonly architecture?: string;
  readonly hidden?: number;
  readonly ffn?: number;
  readonly vocab?: number;
  readonly layers?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  /** Type of every matrix, or by the end of the tensor's name. */
  readonly type?: GgmlType;
  readonly types?: Readonly<Record<string, GgmlType>>;
  readonly untied?: boolean;
  readonly biased?: boolean;
  readonly metadata?: Readonly<Record<string, Value | undefined>>;
}

/** A whole model with random weights. Q8_0 unless told otherwise; sizes are small but not round. */
export function makeModel(options: ModelOptions = {}): TestFile {
  const { architecture = "llama", hidden = 64, ffn = 96, vocab = 80, layers = 2, heads = 2, kvHeads = 1 } = options;
  const keys = (hidden / heads) * kvHeads;
  const random = makeRandom(7);
  const matrix = (name: string, rows: number, cols: number): TestTensor => {
    const type = Object.entries(options.types ?? {}).find(([end]) => name.endsWith(end))?.[1] ?? options.type ?? "Q8_0";
    return { name, shape: [cols, rows], type, bytes: randomBlocks(type, rows, cols, random) };
  };
  const vector = (name: string, length: number): TestTensor => ({ name, shape: [length], type: "F32", bytes: randomBlocks("F32", 1, length, random) });
  const layerTensors = (at: string): TestTensor[] => [
    vector(`${at}attn_norm.weight`, hidden),
    matrix(`${at}attn_q.weight`, hidden, hidden),
    matrix(`${at}attn_k.weight`, keys, hidden),
    matrix(`${at}attn_v.weight`, keys, hidden),
    ...(options.biased ? [vector(`${at}attn_q.bias`, hidden), vector(`${at}attn_k.bias`, keys), vector(`${at}attn_v.bias`, keys)] : []),
    matrix(`${at}attn_output.weight`, hidden, hidden),
    vector(`${at}ffn_norm.weight`, hidden),
    matrix(`${at}ffn_gate.weight`, ffn, hidden),
    matrix(`${at}ffn_up.weight`, ffn, hidden),
    matrix(`${at}ffn_down.weight`, hidden, ffn),
  ];
  const metadata: Record<string, Value | undefined> = {
    "general.architecture": architecture,
    "general.name": "Test",
    [`${architecture}.block_count`]: layers,
    [`${architecture}.context_length`]: 128,
    [`${architecture}.embedding_length`]: hidden,
    [`${architecture}.feed_forward_length`]: ffn,
    [`${architecture}.attention.head_count`]: heads,
    [`${architecture}.attention.head_count_kv`]: kvHeads,
    [`${architecture}.attention.layer_norm_rms_epsilon`]: { float: 1e-5 },
    [`${architecture}.rope.freq_base`]: { float: 10000 },
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": Array.from({ length: vocab }, (_, id) => `token${id}`),
    "tokenizer.ggml.merges": ["t o"],
    "tokenizer.ggml.eos_token_id": 2,
    ...options.metadata,
  };
  return {
    metadata: Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, Value] => entry[1] !== undefined)),
    tensors: [
      matrix("token_embd.weight", vocab, hidden),
      ...Array.from({ length: layers }, (_, layer) => layerTensors(`blk.${layer}.`)).flat(),
      vector("output_norm.weight", hidden),
      ...(options.untied ? [matrix("output.weight", vocab, hidden)] : []),
    ],
  };
}

/** The file with one tensor changed. */
export function withTensor(file: TestFile, name: string, change: Partial<TestTensor>): TestFile {
  return { ...file, tensors: file.tensors.map((tensor) => (tensor.name === name ? { ...tensor, ...change } : tensor)) };
}

/** The file's bytes. */
export function writeGguf(file: TestFile): Uint8Array<ArrayBuffer> {
  const head = new Writer();
  head.bytes(new TextEncoder().encode("GGUF"));
  head.u32(file.version ?? 3);
  head.u64(file.tensors.length);
  head.u64(Object.keys(file.metadata).length);
  for (const [key, value] of Object.entries(file.metadata)) {
    head.string(key);
    head.value(value);
  }
  let offset = 0;
  const places: number[] = [];
  for (const tensor of file.tensors) {
    places.push(offset);
    head.string(tensor.name);
    head.u32(tensor.shape.length);
    for (const size of tensor.shape) head.u64(size);
    head.u32(tensor.typeId ?? GGML_TYPES[tensor.type].id);
    head.u64(tensor.offset ?? offset);
    offset = align(offset + tensor.bytes.length);
  }
  const data = align(head.length);
  const all = new Uint8Array(data + offset);
  all.set(head.joined());
  for (const [index, tensor] of file.tensors.entries()) all.set(tensor.bytes, data + (places[index] as number));
  return all;
}

export function sourceOf(bytes: Uint8Array<ArrayBuffer>, name = "test.gguf"): ByteSource {
  return blobSource(new Blob([bytes]), name);
}

/** Random blocks with tame scales: finite values, as a model has them. */
export function randomBlocks(type: GgmlType, rows: number, cols: number, random: () => number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(rows * rowBytes(type, cols));
  if (type === "F32") {
    const floats = new Float32Array(bytes.buffer);
    for (let i = 0; i < floats.length; i++) floats[i] = random() - 0.5;
    return bytes;
  }
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random() * 256);
  const view = new DataView(bytes.buffer);
  const { bytes: block } = GGML_TYPES[type];
  // Where f16 numbers stand in a block: every element, or the scales.
  const scales = { F16: [0], BF16: [0], Q8_0: [0], Q4_0: [0], Q4_1: [0, 2], Q5_0: [0], Q5_1: [0, 2], Q4_K: [0, 2], Q5_K: [0, 2], Q6_K: [208] }[type];
  for (let at = 0; at < bytes.length; at += block) for (const scale of scales) view.setUint16(at + scale, 0x2000 + Math.floor(random() * 0x1000), true); // 2^-7 to 2^-3
  return bytes;
}

/** Seeded numbers in [0, 1): mulberry32. */
export function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function align(bytes: number): number {
  return Math.ceil(bytes / 32) * 32;
}

class Writer {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  bytes(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.length += bytes.length;
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  /** Type numbers: 4 u32, 6 f32, 7 bool, 8 string, 9 array. */
  value(value: Value): void {
    if (typeof value === "string") {
      this.u32(8);
      this.string(value);
    } else if (typeof value === "number") {
      this.u32(4);
      this.u32(value);
    } else if (typeof value === "boolean") {
      this.u32(7);
      this.bytes(Uint8Array.of(value ? 1 : 0));
    } else if ("float" in value) {
      this.u32(6);
      this.bytes(new Uint8Array(Float32Array.of(value.float).buffer));
    } else {
      this.u32(9);
      this.u32(typeof value[0] === "string" ? 8 : 4);
      this.u64(value.length);
      for (const item of value)
        if (typeof item === "string") this.string(item);
        else this.u32(item);
    }
  }

  joined(): Uint8Array {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
