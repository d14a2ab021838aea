// rope-config: RoPE's frequencies out of a GGUF's metadata and factor tensors, every scaling resolved into one divisor per pair.
// The angle of pair i at position p is p * theta^(-2i/D) / divisors[i]; cos and sin are multiplied by `magnitude`.

import { EngineError } from "../errors";
import type { RopeConfig } from "../model/model-config";
import type { ByteSource } from "./byte-source";
import type { TensorInfo } from "./gguf";
import type { Metadata } from "./metadata";
import type { ModelShape } from "./model-metadata";

/** What the scaling formulas need. `original` is the context before it was stretched. */
interface Scaling {
  readonly theta: number;
  readonly headSize: number;
  readonly factor: number;
  readonly original: number;
}

/** Reads the RoPE parameters. `context` is what will be used of the model's positions; longrope has factors for short and long ones. */
export async function readRope(
  metadata: Metadata,
  shape: ModelShape,
  tensors: ReadonlyMap<string, TensorInfo>,
  source: ByteSource,
  context = shape.context,
): Promise<RopeConfig> {
  const key = (name: string): string => `${shape.architecture}.rope.${name}`;
  const { headSize } = shape;
  const rotated = metadata.count(key("dimension_count"), 1) ?? headSize;
  if (rotated !== headSize)
    throw new EngineError(
      "UNSUPPORTED_ARCHITECTURE",
      `${source.name}: RoPE turns ${rotated} of ${headSize} channels, expected all of them. Choose another model.`,
      { found: rotated, expected: headSize },
    );
  const theta = metadata.number(key("freq_base")) ?? 10_000;
  if (theta <= 1) metadata.reject(key("freq_base"), "a number above 1");
  const factor = metadata.number(key("scaling.factor")) ?? metadata.number(key("scale_linear")) ?? 1;
  if (factor <= 0) metadata.reject(key("scaling.factor"), "a positive number");
  const original = metadata.count(key("scaling.original_context_length"), 1) ?? shape.context;
  const scaling: Scaling = { theta, headSize, factor, original };
  const kind = metadata.string(key("scaling.type")) ?? (factor === 1 ? "none" : "linear");
  const resolved = resolveScaling(kind, scaling, metadata, key, shape.context);
  const suffix = context > original ? "long" : "short";
  const tensor = tensors.get("rope_freqs.weight") ?? tensors.get(`rope_factors_${suffix}.weight`);
  const factors = tensor ? await readFactors(tensor, headSize / 2, source) : undefined;
  if (factors) for (const [pair, value] of factors.entries()) resolved.divisors[pair] = (resolved.divisors[pair] as number) * value;
  return { theta, pairing: shape.architecture === "llama" ? "neighbour" : "half", ...resolved };
}

type Resolved = Pick<RopeConfig, "divisors" | "magnitude">;

function resolveScaling(kind: string, scaling: Scaling, metadata: Metadata, key: (name: string) => string, context: number): Resolved {
  const attention = metadata.number(key("scaling.attn_factor"));
  switch (kind) {
    case "none":
      return { divisors: pairs(scaling, () => 1), magnitude: 1 };
    case "linear":
      return { divisors: pairs(scaling, () => scaling.factor), magnitude: 1 };
    case "llama3":
      return {
        divisors: llama3(scaling, metadata.number(key("scaling.low_freq_factor")) ?? 1, metadata.number(key("scaling.high_freq_factor")) ?? 4),
        magnitude: 1,
      };
    case "yarn": {
      const fast = metadata.number(key("scaling.yarn_beta_fast")) ?? 32;
      const slow = metadata.number(key("scaling.yarn_beta_slow")) ?? 1;
      return { divisors: yarn(scaling, fast, slow), magnitude: (attention ?? 1) * (scaling.factor > 1 ? 1 + 0.1 * Math.log(scaling.factor) : 1) };
    }
    case "longrope": {
      // The divisors are tensors. Without attn_factor the magnitude is that of the LongRoPE paper (arXiv 2402.13753), as in transformers.
      const stretch = context / scaling.original;
      return { divisors: pairs(scaling, () => 1), magnitude: attention ?? (stretch > 1 ? Math.sqrt(1 + Math.log(stretch) / Math.log(scaling.original)) : 1) };
    }
    default:
      return metadata.reject(key("scaling.type"), "none, linear, llama3, yarn or longrope");
  }
}

function pairs(scaling: Scaling, divisor: (pair: number) => number): Float64Array {
  return Float64Array.from({ length: scaling.headSize / 2 }, (_, pair) => divisor(pair));
}

/** Llama 3.1: long wavelengths are stretched, short ones kept, those between blended (transformers, _compute_llama3_parameters). */
function llama3({ factor, original, ...scaling }: Scaling, low: number, high: number): Float64Array {
  return pairs({ factor, original, ...scaling }, (pair) => {
    const wavelength = 2 * Math.PI * scaling.theta ** ((2 * pair) / scaling.headSize);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

/** YaRN (arXiv 2309.00071), as in ggml's rope_yarn: pairs that turn often are kept, those that turn less than once are stretched. */
function yarn(scaling: Scaling, fast: number, slow: number): Float64Array {
  const { theta, headSize, factor, original } = scaling;
  const pairThatTurns = (times: number): number => (headSize * Math.log(original / (times * 2 * Math.PI))) / (2 * Math.log(theta));
  const first = Math.max(0, Math.floor(pairThatTurns(fast)));
  const last = Math.min(headSize - 1, Math.ceil(pairThatTurns(slow)));
  return pairs(scaling, (pair) => {
    const kept = 1 - Math.min(1, Math.max(0, (pair - first) / Math.max(0.001, last - first)));
    return 1 / ((1 - kept) / factor + kept);
  });
}

async function readFactors(tensor: TensorInfo, count: number, source: ByteSource): Promise<Float32Array> {
  if (tensor.type !== "F32" || tensor.rows !== 1 || tensor.cols !== count) {
    const found = `${tensor.rows} x ${tensor.cols} ${tensor.type}`;
    throw new EngineError("BAD_TENSOR", `${source.name}: tensor ${tensor.name} is ${found}, expected 1 x ${count} F32. Get the file again.`, {
      tensor: tensor.name,
      found,
      expected: `1 x ${count} F32`,
    });
  }
  return new Float32Array((await source.read(tensor.offset, tensor.bytes)).slice().buffer);
}
