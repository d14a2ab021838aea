// turn-filter: which chunks of every kv head a turn's answer may read, from what the turn's last queries paid.

import nthLargest from "../../shaders/lib/nth-largest.wgsl?raw";
import readInfo from "../../shaders/lib/read-info.wgsl?raw";
import selectionLib from "../../shaders/lib/selection.wgsl?raw";
import shader from "../../shaders/turn-filter.wgsl?raw";
import type { Gpu } from "../gpu/device";
import type { BufferView } from "../gpu/kernel";
import type { Op } from "../gpu/recorder";
import { bindCacheKernel, type CacheGeometry } from "./cache-kernel";

export interface TurnFilterArgs {
  readonly info: BufferView;
  readonly reading: BufferView; // ReadInfo
  readonly turn: BufferView; // turnWords()
  readonly table: BufferView;
  readonly received: BufferView; // (G, stride) f32
  readonly scores: BufferView; // (H, 2 pairs) f32: overwritten
  readonly selection: BufferView; // its bits are written
}

export const TURN_BYTES = 16;

export interface TurnWords {
  /** Positions of a kv head in `received`. */
  readonly stride: number;
  /** Position from which on nothing is left out. */
  readonly open: number;
  /** Positions that share their scores, odd. */
  readonly pool: number;
  /** Chunks before `open` that stay. */
  readonly keep: number;
}

/** The uniform `turn`. */
export function turnWords({ stride, open, pool, keep }: TurnWords): Uint32Array {
  return new Uint32Array([stride, open, (pool - 1) / 2, keep]);
}

export function bindTurnFilter(gpu: Gpu, geometry: CacheGeometry, args: TurnFilterArgs): Op {
  const spec = {
    name: "turn-filter",
    code: [selectionLib, readInfo, nthLargest, shader],
    bindings: ["uniform", "uniform", "uniform", "read", "read", "write", "write"] as const,
    workgroup: 64,
  };
  const buffers = [args.info, args.reading, args.turn, args.table, args.received, args.scores, args.selection];
  const { kernel, group } = bindCacheKernel(gpu, geometry, spec, buffers);
  return { record: (recorder) => recorder.dispatch(kernel, group, geometry.kvHeads) };
}
