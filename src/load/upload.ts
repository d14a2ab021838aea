// upload: streams a model's tensors from a source into GPU buffers, in the layout of model/weights.ts.
// At most one chunk of the file and one of repacked words are in JavaScript memory. Leaves to others: the header (gguf.ts), the bits (repack.ts).

import type { Progress } from "../engine-types";
import { EngineError, throwIfAborted } from "../errors";
import type { Gpu } from "../gpu/device";
import type { LayerWeights, ModelWeights, Vector, Weight, WeightKind, WeightShard } from "../model/weights";
import { ROW_PADDING, WORDS_PER_UNIT } from "../model/weights";
import type { ByteSource } from "./byte-source";
import { float16Value } from "./float16";
import { GGML_TYPES, rowBytes } from "./ggml-types";
import type { GgufHeader, TensorInfo } from "./gguf";
import { repackRows } from "./repack";

export interface UploadOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** Largest buffer of weights, bytes. Default: what one binding may hold. */
  readonly maxShardBytes?: number;
}

/**
 * Uploads every tensor. On failure or abort nothing stays on the GPU.
 * Throws what the source throws, OUT_OF_MEMORY, ADAPTER_LIMITS, DEVICE_LOST or ABORTED.
 */
export async function loadWeights(gpu: Gpu, source: ByteSource, header: GgufHeader, options: UploadOptions = {}): Promise<ModelWeights> {
  const uploader = new Uploader(gpu, source, header, options);
  try {
    return await uploader.model();
  } catch (error) {
    uploader.dispose();
    throw error;
  }
}

/** Destroys the buffers of a model. Twice is harmless. */
export function disposeWeights(gpu: Gpu, weights: ModelWeights): void {
  const matrices = [
    weights.embedding,
    weights.head,
    ...weights.layers.flatMap((layer) => [...layer.qkv, layer.attentionOutput, ...layer.gateUp, layer.ffnDown]),
  ];
  const vectors = [weights.finalNorm, ...weights.layers.flatMap((layer) => [layer.attentionNorm, layer.ffnNorm, ...(layer.qkvBias ? [layer.qkvBias] : [])])];
  for (const matrix of matrices) for (const shard of matrix.shards) gpu.destroyBuffer(shard.buffer);
  for (const vector of vectors) gpu.destroyBuffer(vector.buffer);
}

/** Bytes of file, and of repacked words, in memory at a time. */
const CHUNK_BYTES = 8 << 20;

/** writeBuffer copies into staging memory; after so many bytes, wait until the GPU has taken them. */
const IN_FLIGHT_BYTES = 64 << 20;

class Uploader {
  readonly #buffers: GPUBuffer[] = [];
  readonly #limit: number;
  readonly #total: number;
  #done = 0;
  #inFlight = 0;

  constructor(
    private readonly gpu: Gpu,
    private readonly source: ByteSource,
    private readonly header: GgufHeader,
    private readonly options: UploadOptions,
  ) {
    this.#limit = Math.min(options.maxShardBytes ?? Number.POSITIVE_INFINITY, gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
    this.#total = [...header.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
  }

  async model(): Promise<ModelWeights> {
    const embedding = await this.#weight("token_embd", [this.#tensor("token_embd.weight")]);
    const layers: LayerWeights[] = [];
    for (let layer = 0; layer < this.header.config.layers; layer++) layers.push(await this.#layer(`blk.${layer}.`));
    const finalNorm = await this.#vector("output_norm", [this.#tensor("output_norm.weight")]);
    const untied = this.header.tensors.get("output.weight");
    return { embedding, head: untied ? await this.#weight("output", [untied]) : embedding, finalNorm, layers };
  }

  dispose(): void {
    for (const buffer of this.#buffers) this.gpu.destroyBuffer(buffer);
  }

  async #layer(at: string): Promise<LayerWeights> {
    const tensors = (names: readonly string[], suffix: string): TensorInfo[] => names.map((name) => this.#tensor(`${at}${name}.${suffix}`));
    const attention = ["attn_q", "attn_k", "attn_v"];
    const biased = this.header.tensors.has(`${at}attn_q.bias`);
    return {
      attentionNorm: await this.#vector(`${at}attn_norm`, tensors(["attn_norm"], "weight")),
      qkv: await this.#stack(`${at}attn_qkv`, tensors(attention, "weight")),
      ...(biased ? { qkvBias: await this.#vector(`${at}attn_qkv.bias`, tensors(attention, "bias")) } : {}),
      attentionOutput: await this.#weight(`${at}attn_output`, tensors(["attn_output"], "weight")),
      ffnNorm: await this.#vector(`${at}ffn_norm`, tensors(["ffn_norm"], "weight")),
      gateUp: await this.#gateUp(at, tensors(["ffn_gate", "ffn_up"], "weight")),
      ffnDown: await this.#weight(`${at}ffn_down`, tensors(["ffn_down"], "weight")),
    };
  }

  /** One weight if the kinds agree, else one each. */
  async #stack(name: string, parts: readonly TensorInfo[]): Promise<Weight[]> {
    if (new Set(parts.map(kindOf)).size === 1) return [await this.#weight(name, parts)];
    const weights: Weight[] = [];
    for (const part of parts) weights.push(await this.#weight(part.name.replace(".weight", ""), [part]));
    return weights;
  }

  /** A kernel multiplies gate row i by up row i: both in one shard, or in two weights cut at the same rows. */
  async #gateUp(at: string, parts: readonly TensorInfo[]): Promise<Weight[]> {
    const rows = parts.reduce((sum, part) => sum + part.rows, 0);
    const common = Math.min(...parts.map((part) => this.#shardRows(part)));
    if (rows <= common) return this.#stack(`${at}ffn_gate_up`, parts);
    const weights: Weight[] = [];
    for (const part of parts) weights.push(await this.#weight(part.name.replace(".weight", ""), [part], common));
    return weights;
  }

  /** Rows that one shard may hold: a multiple of ROW_PADDING. */
  #shardRows(tensor: TensorInfo): number {
    const bytesPerRow = wordsPerRow(kindOf(tensor), tensor.cols) * 4;
    const rows = Math.floor(this.#limit / (bytesPerRow * ROW_PADDING)) * ROW_PADDING;
    if (rows > 0) return rows;
    const needed = bytesPerRow * ROW_PADDING;
    throw new EngineError(
      "ADAPTER_LIMITS",
      `${ROW_PADDING} rows of ${tensor.name} take ${needed} bytes, a binding may hold ${this.#limit}. Use another GPU or a smaller model.`,
      {
        found: this.#limit,
        expected: needed,
      },
    );
  }

  async #weight(name: string, parts: readonly TensorInfo[], shardRows = Math.min(...parts.map((part) => this.#shardRows(part)))): Promise<Weight> {
    const { cols } = parts[0] as TensorInfo;
    const kind = kindOf(parts[0] as TensorInfo);
    const rows = parts.reduce((sum, part) => sum + part.rows, 0);
    const shards: WeightShard[] = [];
    for (let firstRow = 0; firstRow < rows; firstRow += shardRows) {
      const held = Math.min(shardRows, rows - firstRow);
      const paddedRows = Math.ceil(held / ROW_PADDING) * ROW_PADDING;
      const buffer = await this.#createBuffer(`Weights.${name}`, paddedRows * wordsPerRow(kind, cols) * 4);
      const shard: WeightShard = { firstRow, rows: held, paddedRows, buffer };
      await this.#fill(shard, kind, cols, parts);
      shards.push(shard);
    }
    return { name, kind, rows, cols, shards };
  }

  /** Fills a shard in windows of rows. Word columns of a window are contiguous only if it is the whole shard. */
  async #fill(shard: WeightShard, kind: WeightKind, cols: number, parts: readonly TensorInfo[]): Promise<void> {
    const columns = wordsPerRow(kind, cols);
    const largestRow = Math.max(columns * 4, ...parts.map((part) => rowBytes(part.type, cols)));
    const windowRows = Math.max(1, Math.floor(CHUNK_BYTES / largestRow / ROW_PADDING)) * ROW_PADDING;
    for (let start = 0; start < shard.rows; start += windowRows) {
      const rows = Math.min(windowRows, shard.rows - start);
      const whole = shard.paddedRows <= windowRows;
      const stride = whole ? shard.paddedRows : rows;
      const words = new Uint32Array(columns * stride);
      await this.#repackWindow(words, stride, shard.firstRow + start, rows, parts);
      this.gpu.check();
      if (whole) this.gpu.write(shard.buffer, 0, words);
      else
        for (let column = 0; column < columns; column++)
          this.gpu.write(shard.buffer, (column * shard.paddedRows + start) * 4, words.subarray(column * stride, column * stride + rows));
      await this.#drain(words.byteLength);
    }
  }

  /** Rows [firstRow, firstRow + rows) of the stacked parts into `words`. */
  async #repackWindow(words: Uint32Array, stride: number, firstRow: number, rows: number, parts: readonly TensorInfo[]): Promise<void> {
    let partStart = 0;
    for (const part of parts) {
      const from = Math.max(firstRow, partStart);
      const to = Math.min(firstRow + rows, partStart + part.rows);
      if (from < to) {
        const bytes = await this.#read(part, from - partStart, to - from);
        repackRows(part.type, bytes, to - from, part.cols, { words, stride, firstRow: from - firstRow });
      }
      partStart += part.rows;
    }
  }

  /** Vectors one after the other in one f32 buffer. */
  async #vector(name: string, parts: readonly TensorInfo[]): Promise<Vector> {
    const length = parts.reduce((sum, part) => sum + part.cols, 0);
    const values = new Float32Array(length);
    let at = 0;
    for (const part of parts) {
      values.set(toFloats(part, await this.#read(part, 0, 1)), at);
      at += part.cols;
    }
    const buffer = await this.#createBuffer(`Weights.${name}`, length * 4);
    this.gpu.write(buffer, 0, values);
    return { name, length, buffer };
  }

  async #read(tensor: TensorInfo, firstRow: number, rows: number): Promise<Uint8Array> {
    throwIfAborted(this.options.signal);
    const perRow = rowBytes(tensor.type, tensor.cols);
    const bytes = await this.source.read(tensor.offset + firstRow * perRow, rows * perRow, this.options.signal);
    throwIfAborted(this.options.signal);
    this.#done += bytes.length;
    this.options.onProgress?.({ phase: "upload", done: this.#done, total: this.#total });
    return bytes;
  }

  /** Creation seems to succeed when memory is short; the error scope tells. */
  async #createBuffer(label: string, bytes: number): Promise<GPUBuffer> {
    const { device } = this.gpu;
    device.pushErrorScope("out-of-memory");
    let scope: Promise<GPUError | null>;
    let buffer: GPUBuffer;
    try {
      buffer = this.gpu.createBuffer(label, bytes, "weights", { owner: "Weights" });
      this.#buffers.push(buffer);
    } finally {
      scope = device.popErrorScope();
    }
    const error = await scope;
    if (error) {
      const held = this.gpu.ledger.bytes({ role: "weights" });
      throw new EngineError(
        "OUT_OF_MEMORY",
        `The GPU has no room for ${label} (${bytes} bytes; weights so far ${held}): ${error.message}. Close other tabs or use a smaller model.`,
        { label, bytes, held },
      );
    }
    return buffer;
  }

  async #drain(written: number): Promise<void> {
    this.#inFlight += written;
    if (this.#inFlight < IN_FLIGHT_BYTES) return;
    this.#inFlight = 0;
    this.gpu.device.queue.submit([]); // queued writes go out with the next submit
    await this.gpu.device.queue.onSubmittedWorkDone();
  }

  #tensor(name: string): TensorInfo {
    const tensor = this.header.tensors.get(name);
    if (!tensor) throw new EngineError("BAD_TENSOR", `${this.source.name}: tensor ${name} is missing. Get the file again.`, { tensor: name });
    return tensor;
  }
}

function kindOf(tensor: TensorInfo): WeightKind {
  return GGML_TYPES[tensor.type].kind;
}

function wordsPerRow(kind: WeightKind, cols: number): number {
  return (cols / 32) * WORDS_PER_UNIT[kind];
}

/** A norm or a bias in f32. readHeader has checked that its type is one of these. */
function toFloats(tensor: TensorInfo, bytes: Uint8Array): Float32Array {
  const { buffer } = bytes.slice();
  if (tensor.type === "F32") return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  if (tensor.type === "F16") return Float32Array.from(halves, float16Value);
  return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
}
