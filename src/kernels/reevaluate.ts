// reevaluate: one dispatch of shaders/reevaluate.wgsl, between gather-slots and choose-formats.

import compressStep from "../../shaders/lib/compress-step.wgsl?raw";
import lanes from "../../shaders/lib/lanes.wgsl?raw";
import recentMass from "../../shaders/lib/recent-mass.wgsl?raw";
import shader from "../../shaders/reevaluate.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface ReevaluateArgs {
  readonly info: BufferView;
  readonly step: BufferView; // CompressStep
  readonly window: BufferView; // Window: windowWords()
  readonly table: BufferView;
  readonly counts: BufferView; // (G) u32
  readonly received: BufferView; // every plane
  readonly candidates: BufferView; // (G, numCandidates) vec4u
  readonly lifted: BufferView;
}

/** The shader's Window. */
export interface Window {
  /** Positions of the tokens whose attention counts: [first, end). */
  readonly first: number;
  readonly end: number;
  /** A layer counts one token of so many. */
  readonly observed: number;
  readonly layers: number;
  readonly planes: number;
  /** The plane that is being filled; `planes` if there is none. */
  readonly skipped: number;
  /** Words of a (G, positions) plane, padding included. */
  readonly planeWords: number;
  readonly positions: number;
  readonly shared: boolean;
  readonly attention: boolean;
  readonly block: number;
  readonly decay: number;
  readonly rise: number;
  readonly distance: number;
}

export const WINDOW_BYTES = 64;

export function windowWords(window: Window): Uint32Array {
  const words = new Uint32Array(WINDOW_BYTES / 4);
  const { first, end, observed, layers, planes, skipped, planeWords, positions, block } = window;
  const flags = [window.shared, window.attention].map((flag) => (flag ? 1 : 0));
  words.set([first, end, observed, layers, planes, skipped, planeWords, positions, ...flags, block]);
  new Float32Array(words.buffer).set([window.decay, window.rise, window.distance], 11);
  return words;
}

/** Importance of the candidates that stand in pages, from what they received. */
export function reevaluate(gpu: Gpu, geometry: CacheGeometry, args: ReevaluateArgs): Op {
  const spec = {
    name: "reevaluate",
    code: [compressStep, recentMass, lanes, shader],
    bindings: ["uniform", "uniform", "uniform", "read", "read", "read", "write", "write"] as const,
    workgroup: 64,
  };
  const buffers = [args.info, args.step, args.window, args.table, args.counts, args.received, args.candidates, args.lifted];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads) };
}
