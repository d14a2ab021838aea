// product: what matmul and matvec have in common: Y = W X^T over stacked and sharded weights, cut into dispatches.
// Leaves to others: the kernels and their grids (matmul.ts, matvec.ts).

import epilogue from "../../shaders/lib/epilogue.wgsl?raw";
import normInLib from "../../shaders/lib/norm-in.wgsl?raw";
import normNone from "../../shaders/lib/norm-none.wgsl?raw";
import normOutLib from "../../shaders/lib/norm-out.wgsl?raw";
import stepLib from "../../shaders/lib/step.wgsl?raw";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import type { Binding, BufferView, Kernel } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import type { Vector, Weight, WeightKind, WeightShard } from "../model/weights";
import { columnsCode, weightCode } from "./weight-code";

/** What becomes of the sums: written, added to what stands in the output, or joined as SiLU(gate) * up. */
export type ProductMode = "store" | "add" | "gate-up";

export interface ProductArgs {
  /** Stacked: rows of the first, then of the second... are the output's columns. For gate-up: all gates, then as many ups. */
  readonly weights: readonly Weight[];
  readonly step: GPUBuffer; // Step
  readonly input: BufferView; // (rows, cols of the weights) f32
  readonly output: BufferView; // (rows, rows of the weights; half of them for gate-up) f32
  readonly bias?: Vector; // one per output column
  readonly mode?: ProductMode;
  /** Rows of the input or output count from step.firstRow, not from 0: true for the hidden states of a prompt. */
  readonly inputAtStep?: boolean;
  readonly outputAtStep?: boolean;
  /** matvec only: the input is what another product passed on. */
  readonly normIn?: NormIn;
  /** matvec only: what the RMS norm that follows needs of the output. */
  readonly normOut?: NormOut;
}

/** An RMS norm of which the product that wrote its input did one half, NormOut, and the product that reads it does the other: y * W (gain x). */
export interface NormIn {
  readonly squares: BufferView; // (productGroups of that product) f32
  readonly epsilon: number;
}

export interface NormOut {
  readonly gain: GPUBuffer; // (output columns) f32
  readonly scaled: GPUBuffer; // (output columns) f32: the output times the gain
  readonly squares: BufferView; // (productGroups) f32: sums of squares of the output
}

/** Bound once, recorded for every chunk or token. */
export interface ProductOp {
  /** @param tokens as in the step: 1 for matvec */
  record(recorder: Recorder, tokens: number): void;
}

/** One of the two shaders and how its grid covers rows. */
export interface ProductShader {
  readonly name: string;
  readonly code: string;
  readonly constants: Readonly<Record<string, number>> & { readonly WG: number };
  tokenGroups(tokens: number): number;
}

const MODES = { store: 0, add: 1, gate: 2, pair: 3 } as const;

/** Rows of one shard that one dispatch computes. */
interface Part {
  readonly kind: WeightKind;
  readonly shard: WeightShard;
  readonly firstRow: number; // of the shard
  readonly rows: number;
  readonly outFirst: number; // output column of firstRow
  readonly mode: keyof typeof MODES;
}

export function bindProduct(gpu: Gpu, shader: ProductShader, args: ProductArgs): ProductOp {
  const total = args.weights.reduce((sum, weight) => sum + weight.rows, 0);
  const cols = args.weights[0]?.cols ?? 0;
  const outCols = args.mode === "gate-up" ? total / 2 : total;
  check(args, cols, outCols);
  const parts = args.mode === "gate-up" ? gateUpParts(args.weights, outCols) : rowsOf(args.weights, 0, total, 0, args.mode ?? "store");
  const dispatches = parts.map((part, index) => bindPart(gpu, shader, args, part, groupsOf(parts.slice(0, index), shader), cols, outCols));
  return {
    record(recorder, tokens) {
      for (const { kernel, group, groups } of dispatches) recorder.dispatch(kernel, group, groups, shader.tokenGroups(tokens));
    },
  };
}

/** Workgroups of a plain product of these weights, over all its dispatches: so many sums of squares NormOut leaves. */
export function productGroups(weights: readonly Weight[], shader: Pick<ProductShader, "constants">): number {
  const rows = weights.reduce((sum, weight) => sum + weight.rows, 0);
  return groupsOf(rowsOf(weights, 0, rows, 0, "store"), shader);
}

function groupsOf(parts: readonly Part[], { constants }: Pick<ProductShader, "constants">): number {
  return parts.reduce((sum, part) => sum + Math.ceil(part.rows / spanOf(part, constants.WG)), 0);
}

/** Rows of a workgroup. */
function spanOf({ mode }: Part, WG: number): number {
  return mode === "pair" ? WG : 2 * WG;
}

/** @param firstGroup workgroups of the dispatches before this one */
function bindPart(
  gpu: Gpu,
  shader: ProductShader,
  args: ProductArgs,
  part: Part,
  firstGroup: number,
  cols: number,
  outCols: number,
): { kernel: Kernel; group: GPUBindGroup; groups: number } {
  const { WG } = shader.constants;
  const span = spanOf(part, WG);
  const norm = normParts(args, firstGroup);
  const kernel = gpu.kernels.get({
    name: shader.name,
    code: [columnsCode(gpu), stepLib, ...weightCode(part.kind), epilogue, norm.code, shader.code],
    bindings: ["uniform", "read", "read", "write", "read", ...norm.bindings],
    constants: {
      ...shader.constants,
      ...norm.constants,
      STRIDE: part.shard.paddedRows,
      UNITS: cols / 32,
      ROWS: part.rows,
      FIRST_ROW: part.firstRow,
      SPAN: span,
      SECOND: part.mode === "pair" ? outCols : WG,
      MODE: MODES[part.mode],
      BIAS: args.bias ? 1 : 0,
      OUT_COLS: outCols,
      OUT_FIRST: part.outFirst,
      IN_AT_STEP: args.inputAtStep ? 1 : 0,
      OUT_AT_STEP: args.outputAtStep ? 1 : 0,
    },
  });
  const group = kernel.bind([args.step, part.shard.buffer, args.input, args.output, args.bias?.buffer ?? args.input, ...norm.buffers]);
  return { kernel, group, groups: Math.ceil(part.rows / span) };
}

interface NormParts {
  readonly code: string;
  readonly bindings: readonly Binding[];
  readonly constants: Readonly<Record<string, number>>;
  readonly buffers: readonly BufferView[];
}

function normParts({ normIn, normOut }: ProductArgs, firstGroup: number): NormParts {
  if (normIn) return { code: normInLib, bindings: ["read"], constants: { EPSILON: normIn.epsilon }, buffers: [normIn.squares] };
  if (!normOut) return { code: normNone, bindings: [], constants: {}, buffers: [] };
  const { gain, scaled, squares } = normOut;
  return { code: normOutLib, bindings: ["read", "write", "write"], constants: { FIRST_GROUP: firstGroup }, buffers: [gain, scaled, squares] };
}

function check({ weights, bias, mode, normIn, normOut }: ProductArgs, cols: number, outCols: number): void {
  const names = weights.map((weight) => weight.name).join(" + ");
  if (cols === 0 || cols % 32 !== 0 || weights.some((weight) => weight.cols !== cols))
    throw new EngineError("INTERNAL", `Product of ${names}: columns ${weights.map((weight) => weight.cols)} must be one multiple of 32.`);
  if (!Number.isInteger(outCols)) throw new EngineError("INTERNAL", `Product of ${names}: gate-up needs an even number of rows.`);
  if (normOut && (normIn || mode === "gate-up"))
    throw new EngineError("INTERNAL", `Product of ${names}: passes on to a norm, so it has none and is no gate-up.`);
  if (bias && mode === "gate-up") throw new EngineError("INTERNAL", `Product of ${names}: gate-up takes no bias.`);
  if (bias && bias.length !== outCols) throw new EngineError("INTERNAL", `Product of ${names}: bias ${bias.name} has ${bias.length} values, not ${outCols}.`);
}

/** In one dispatch where gates and ups lie in one buffer, else gates first and ups on top of them. */
function gateUpParts(weights: readonly Weight[], outCols: number): Part[] {
  const only = weights[0];
  const shard = only?.shards[0];
  if (only && shard && weights.length === 1 && only.shards.length === 1)
    return [{ kind: only.kind, shard, firstRow: 0, rows: outCols, outFirst: 0, mode: "pair" }];
  return [...rowsOf(weights, 0, outCols, 0, "store"), ...rowsOf(weights, outCols, 2 * outCols, 0, "gate")];
}

/** Rows first..end of the stack, cut where weights and shards end. */
function rowsOf(weights: readonly Weight[], first: number, end: number, outFirst: number, mode: Part["mode"]): Part[] {
  const parts: Part[] = [];
  let base = 0;
  for (const weight of weights) {
    for (const shard of weight.shards) {
      const from = Math.max(first, base + shard.firstRow);
      const to = Math.min(end, base + shard.firstRow + shard.rows);
      if (from < to) parts.push({ kind: weight.kind, shard, firstRow: from - base - shard.firstRow, rows: to - from, outFirst: outFirst + from - first, mode });
    }
    base += weight.rows;
  }
  return parts;
}
