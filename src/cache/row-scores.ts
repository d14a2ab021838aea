// row-scores: what a cache is told of rows that will go into pages: where a prompt's stand, and how much rows matter. Types only.

import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";

/** Where a prompt's keys and values of one layer stand: (2, G, capacity, D/2) u32, f16 pairs. */
export interface PromptStaging {
  readonly rows: GPUBuffer;
  readonly capacity: number;
  readonly planeWords: number;
  readonly tokens: number;
  /** Where only some of a prompt's `of` tokens stand there: words from the start of `rows` to their positions, (tokens) u32, ascending. The newest are among them. */
  readonly chosen?: { readonly of: number; readonly positionStart: number };
}

/** Importance of a source's rows. `record` runs before a compression reads it. */
export interface RowScores {
  readonly scores: (layer: number) => BufferView; // (G, stride) f32
  readonly stride: number;
  readonly queryEnergy: (layer: number) => BufferView; // (G) f32
  /** How much of the bytes the layer asks for, (1) f32; where the budget asks. */
  readonly preference?: GPUBuffer | undefined;
  /** Before the submit whose compression reads them: the next token's position, and how many tokens the ring holds. */
  prepare?(position: number, held: number): void;
  record?(recorder: Recorder, layer: number): void;
  /** Takes in the queries of the token being decoded. */
  observe?(recorder: Recorder, layer: number): void;
  /** After the prompt: the position of the first token that will be decoded. */
  begin?(position: number): void;
  /** After the attention of the token being decoded, which stands at `position`. */
  attended?(recorder: Recorder, layer: number, position: number): void;
}
