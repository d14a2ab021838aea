// gguf: opens a GGUF file's header and checks everything that can be checked before a byte of weights is read.
// Parsing is @huggingface/gguf's. Leaves to others: what the metadata mean (model-metadata, rope-config, tokenizer-metadata), the weights (upload.ts).

import { GGMLQuantizationType, type GGUFParseOutput, gguf } from "@huggingface/gguf";
import { EngineError, throwIfAborted } from "../errors";
import type { ModelConfig } from "../model/model-config";
import type { TokenizerMetadata } from "../text/tokenizer-metadata";
import type { ByteSource } from "./byte-source";
import { GGML_TYPES, type GgmlType, ggmlTypeOf, rowBytes } from "./ggml-types";
import { Metadata, type RawMetadata } from "./metadata";
import { checkModelTensors, readShape } from "./model-metadata";
import { readRope } from "./rope-config";
import { readTokenizer } from "./tokenizer-metadata";

/** One tensor of the file. `rows` is 1 for a vector; a row is `cols` neighbouring elements. */
export interface TensorInfo {
  readonly name: string;
  readonly type: GgmlType;
  readonly rows: number;
  readonly cols: number;
  /** Where its bytes lie in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufHeader {
  readonly config: ModelConfig;
  readonly tokenizer: TokenizerMetadata;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: RawMetadata;
}

/**
 * Reads and checks the header. Throws NOT_GGUF, TRUNCATED, UNSUPPORTED_ARCHITECTURE, UNSUPPORTED_TENSOR, BAD_TENSOR or MISSING_METADATA.
 * @param options.context positions that will be used, if fewer than the model's (longrope chooses its factors by it)
 */
export async function readHeader(source: ByteSource, options: { signal?: AbortSignal; context?: number } = {}): Promise<GgufHeader> {
  await checkMagic(source);
  const parsed = await parse(source, options.signal);
  const headerEnd = parsed.tensorInfoByteRange[1];
  if (headerEnd > source.size) throw truncated(source, "its header", headerEnd);
  const metadata = new Metadata(parsed.metadata as unknown as RawMetadata, source.name);
  const shape = readShape(metadata, source.name);
  const tensors = readTensors(source, parsed, metadata.count("general.alignment", 1) ?? 32);
  const tokenizer = readTokenizer(metadata);
  checkModelTensors(shape, tokenizer.tokens.length, tensors, source.name);
  const rope = await readRope(metadata, shape, tensors, source, options.context);
  return { config: { ...shape, vocab: tokenizer.tokens.length, rope }, tokenizer, tensors, metadata: metadata.raw };
}

async function checkMagic(source: ByteSource): Promise<void> {
  const head = await source.read(0, Math.min(8, source.size));
  const found = String.fromCharCode(...head.subarray(0, 4));
  if (found !== "GGUF".slice(0, head.length) || head.length === 0) {
    const shown = [...head.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") || "nothing";
    throw new EngineError("NOT_GGUF", `${source.name} is not a GGUF file: it begins with ${shown}, expected 47 47 55 46 ("GGUF"). Choose a .gguf file.`, {
      found: shown,
      expected: "47 47 55 46",
    });
  }
  if (source.size < MINIMUM_BYTES) throw truncated(source, "its header", MINIMUM_BYTES);
  const version = new DataView(head.buffer, head.byteOffset).getUint32(4, true);
  if (version !== 2 && version !== 3)
    throw new EngineError(
      "NOT_GGUF",
      `${source.name} is of GGUF version ${version}, expected 2 or 3, little-endian. Convert the model again with a current llama.cpp.`,
      { found: version, expected: [2, 3] },
    );
}

/** Magic, version, number of tensors, number of metadata. */
const MINIMUM_BYTES = 24;

/** @huggingface/gguf reads by HTTP ranges through a fetch of the caller's; here the source answers. */
async function parse(source: ByteSource, signal: AbortSignal | undefined): Promise<GGUFParseOutput> {
  const answer = async (_url: unknown, init?: RequestInit): Promise<Response> => {
    throwIfAborted(signal);
    const [start, end] = (new Headers(init?.headers).get("range") ?? "").replace("bytes=", "").split("-").map(Number) as [number, number];
    const piece = end + 1 - start;
    // The parser reads one piece ahead, so a request just past the end is usual; a second one means that the header goes on there.
    if (start >= source.size + piece) throw truncated(source, "its header", start);
    const bytes = await source.read(Math.min(start, source.size), Math.max(0, Math.min(piece, source.size - start)), signal);
    return new Response(bytes, { status: 206, headers: { "content-range": `bytes ${start}-${end}/${source.size}` } });
  };
  try {
    return (await gguf("http://file.invalid/", { fetch: answer as typeof fetch })) as GGUFParseOutput;
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError(
      "NOT_GGUF",
      `${source.name} has a damaged GGUF header: ${found}. Get the file again.`,
      { found, expected: "a sound header" },
      { cause },
    );
  }
}

/** Tensors by name. As ggml, insists that they follow one another without gaps beyond the alignment. */
function readTensors(source: ByteSource, parsed: GGUFParseOutput, alignment: number): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  const dataStart = Number(parsed.tensorDataOffset);
  let expected = dataStart;
  for (const raw of [...parsed.tensorInfos].sort((left, right) => Number(left.offset - right.offset))) {
    const tensor = readTensor(source, raw, dataStart);
    if (tensors.has(tensor.name)) throw badTensor(source, tensor.name, "there twice", "once");
    if (tensor.offset !== expected)
      throw badTensor(source, tensor.name, `at byte ${tensor.offset}`, `at ${expected}, where the tensors before it end; a size disagrees with a shape`);
    if (tensor.offset + tensor.bytes > source.size) throw truncated(source, `tensor ${tensor.name}`, tensor.offset + tensor.bytes);
    tensors.set(tensor.name, tensor);
    expected = dataStart + Math.ceil((tensor.offset + tensor.bytes - dataStart) / alignment) * alignment;
  }
  return tensors;
}

function readTensor(source: ByteSource, raw: GGUFParseOutput["tensorInfos"][number], dataStart: number): TensorInfo {
  const type = ggmlTypeOf(raw.dtype);
  if (!type) {
    const found = GGMLQuantizationType[raw.dtype] ?? `number ${raw.dtype}`;
    const expected = Object.keys(GGML_TYPES);
    throw new EngineError(
      "UNSUPPORTED_TENSOR",
      `${source.name}: tensor ${raw.name} is of type ${found}; read are ${expected.join(", ")}. Choose another quantization of the model.`,
      {
        tensor: raw.name,
        found,
        expected,
      },
    );
  }
  const shape = raw.shape.map(Number);
  const [cols = 0, rows = 1] = shape;
  if (shape.length < 1 || shape.length > 2 || cols < 1 || rows < 1)
    throw badTensor(source, raw.name, `of shape [${shape.join(", ")}]`, "one or two dimensions, none of them 0");
  const { elements } = GGML_TYPES[type];
  if (cols % elements !== 0) throw badTensor(source, raw.name, `${cols} wide`, `a multiple of ${elements}, the block of ${type}`);
  return { name: raw.name, type, rows, cols, offset: dataStart + Number(raw.offset), bytes: rows * rowBytes(type, cols) };
}

function badTensor(source: ByteSource, tensor: string, found: string, expected: string): EngineError {
  return new EngineError("BAD_TENSOR", `${source.name}: tensor ${tensor} is ${found}, expected ${expected}. The file is damaged; get it again.`, {
    tensor,
    found,
    expected,
  });
}

function truncated(source: ByteSource, what: string, expected: number): EngineError {
  return new EngineError(
    "TRUNCATED",
    `${source.name} has ${source.size} bytes, but ${what} ends at byte ${expected} or later. The file is incomplete; get it again.`,
    {
      found: source.size,
      expected,
    },
  );
}
