// model-metadata: what a GGUF's metadata say of the architecture, and the tensors that such a model must have.
// Leaves to others: RoPE (rope-config.ts), the tokenizer (tokenizer-metadata.ts).

import { EngineError } from "../errors";
import type { ModelConfig } from "../model/model-config";
import type { TensorInfo } from "./gguf";
import type { Metadata } from "./metadata";

/** What the metadata alone tell; `rope` may need tensors, `vocab` is the tokenizer's length. */
export type ModelShape = Omit<ModelConfig, "rope" | "vocab">;

const ARCHITECTURES: readonly string[] = ["llama", "qwen2"] satisfies ModelConfig["architecture"][];

/** Reads the shape of the model. Throws UNSUPPORTED_ARCHITECTURE or MISSING_METADATA. */
export function readShape(metadata: Metadata, file: string): ModelShape {
  const architecture = metadata.needString("general.architecture");
  if (!ARCHITECTURES.includes(architecture)) throw unsupported(file, "architecture", architecture, ARCHITECTURES.join(" or "));
  const key = (name: string): string => `${architecture}.${name}`;
  if ((metadata.count("split.count", 0) ?? 0) > 1)
    throw unsupported(file, "number of files", metadata.count("split.count", 0), "1; join them with llama-gguf-split --merge");
  if ((metadata.count(key("expert_count"), 0) ?? 0) > 0) throw unsupported(file, "number of experts", metadata.count(key("expert_count"), 0), "none");
  const hidden = metadata.needCount(key("embedding_length"), 1);
  const heads = metadata.needCount(key("attention.head_count"), 1);
  const kvHeads = metadata.count(key("attention.head_count_kv"), 1) ?? heads;
  if (heads % kvHeads !== 0) metadata.reject(key("attention.head_count_kv"), `a divisor of the ${heads} query heads`);
  const headSize = metadata.count(key("attention.key_length"), 1) ?? hidden / heads;
  if (!Number.isInteger(headSize)) metadata.reject(key("attention.head_count"), `a divisor of the width ${hidden}`);
  const valueSize = metadata.count(key("attention.value_length"), 1) ?? headSize;
  if (valueSize !== headSize) throw unsupported(file, "size of a value head", valueSize, `the key's, ${headSize}`);
  if (headSize % 2 !== 0 || headSize > 256) throw unsupported(file, "head size", headSize, "an even number up to 256");
  return {
    architecture: architecture as ModelConfig["architecture"],
    name: metadata.string("general.name") ?? file.replace(/\.gguf$/, ""),
    layers: metadata.needCount(key("block_count"), 1),
    hidden,
    ffn: metadata.needCount(key("feed_forward_length"), 1),
    heads,
    kvHeads,
    headSize,
    context: metadata.needCount(key("context_length"), 1),
    normEpsilon: metadata.needNumber(key("attention.layer_norm_rms_epsilon")),
  };
}

/** Checks that every tensor of the model is there in its shape, and none besides. Throws BAD_TENSOR or UNSUPPORTED_TENSOR. */
export function checkModelTensors(shape: ModelShape, vocab: number, tensors: ReadonlyMap<string, TensorInfo>, file: string): void {
  const known = new Set<string>(ROPE_TENSORS);
  const check = (name: string, rows: number, cols: number, optional = false): void => {
    known.add(name);
    const tensor = tensors.get(name);
    if (!tensor && optional) return;
    if (!tensor || tensor.rows !== rows || tensor.cols !== cols) throw badShape(file, name, tensor, rows, cols);
    if (rows > 1 && cols % 32 !== 0) throw unsupported(file, `width of tensor ${name}`, cols, "a multiple of 32", "UNSUPPORTED_TENSOR");
    if (rows === 1 && !VECTOR_TYPES.includes(tensor.type))
      throw unsupported(file, `type of the vector ${name}`, tensor.type, VECTOR_TYPES.join(", "), "UNSUPPORTED_TENSOR");
  };
  const { hidden, ffn, headSize } = shape;
  const queries = shape.heads * headSize;
  const keys = shape.kvHeads * headSize;
  check("token_embd.weight", vocab, hidden);
  check("output.weight", vocab, hidden, true);
  check("output_norm.weight", 1, hidden);
  for (let layer = 0; layer < shape.layers; layer++) {
    const at = `blk.${layer}.`;
    check(`${at}attn_norm.weight`, 1, hidden);
    check(`${at}attn_q.weight`, queries, hidden);
    check(`${at}attn_k.weight`, keys, hidden);
    check(`${at}attn_v.weight`, keys, hidden);
    const plain = !tensors.has(`${at}attn_q.bias`) && !tensors.has(`${at}attn_k.bias`) && !tensors.has(`${at}attn_v.bias`);
    check(`${at}attn_q.bias`, 1, queries, plain);
    check(`${at}attn_k.bias`, 1, keys, plain);
    check(`${at}attn_v.bias`, 1, keys, plain);
    check(`${at}attn_output.weight`, hidden, queries);
    check(`${at}ffn_norm.weight`, 1, hidden);
    check(`${at}ffn_gate.weight`, ffn, hidden);
    check(`${at}ffn_up.weight`, ffn, hidden);
    check(`${at}ffn_down.weight`, hidden, ffn);
  }
  for (const name of tensors.keys())
    if (!known.has(name)) throw unsupported(file, "tensor", name, `those of a plain ${shape.architecture} model`, "UNSUPPORTED_TENSOR");
}

/** Frequency factors; rope-config.ts reads them. */
const ROPE_TENSORS = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

const VECTOR_TYPES: readonly string[] = ["F32", "F16", "BF16"];

function badShape(file: string, name: string, tensor: TensorInfo | undefined, rows: number, cols: number): EngineError {
  const found = tensor ? `${tensor.rows} x ${tensor.cols}` : "missing";
  const expected = `${rows} x ${cols} (rows x columns)`;
  return new EngineError(
    "BAD_TENSOR",
    `${file}: tensor ${name} is ${found}, the metadata imply ${expected}. The file is damaged or incomplete; get it again.`,
    { tensor: name, found, expected },
  );
}

function unsupported(
  file: string,
  what: string,
  found: unknown,
  expected: string,
  code: "UNSUPPORTED_ARCHITECTURE" | "UNSUPPORTED_TENSOR" = "UNSUPPORTED_ARCHITECTURE",
): EngineError {
  return new EngineError(code, `${file}: ${what} ${String(found)} is not supported, expected ${expected}. Choose another model.`, { what, found, expected });
}
