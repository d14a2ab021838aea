// replay: the second pass over a prompt that some scores ask for: the model is told to repeat the context and given it once more, in parts.
// Its queries tell what of the context is looked up to write it again. Source: KVzip (Kim et al. 2025), methods 2.15 and 10.3.

import { EngineError } from "../errors";
import type { Sequence } from "../model/sequence";
import type { Runtime } from "./runtime";

/** KVzip's words, before every part. */
const INSTRUCTION = "\n\nRepeat the previous context exactly.\n\n";

/** Tokens of the context in a part, at most (KVzip's chunk), and at least: shorter ones see too little of what comes before. */
const MOST = 2048;
const LEAST = 64;

/** The ids that follow the prompt, part by part, if any of the sequences wants them. Throws CONTEXT_FULL where no part fits after the prompt. */
export function replayParts(runtime: Runtime, ids: readonly number[], sequences: readonly Sequence[]): number[][] {
  if (!sequences.some(({ needsReplay }) => needsReplay)) return [];
  const instruction = runtime.tokenizer.encodePrompt(INSTRUCTION);
  const room = runtime.context - ids.length - instruction.length;
  if (room < Math.min(LEAST, ids.length))
    throw new EngineError(
      "CONTEXT_FULL",
      `This policy replays the prompt: after its ${ids.length} tokens ${Math.max(0, room)} positions are left, ${LEAST} are needed. Shorten the prompt, load with a larger context, or choose a policy without replay.`,
      { found: room, expected: LEAST },
    );
  const parts = Math.ceil(ids.length / Math.min(MOST, room));
  const size = Math.ceil(ids.length / parts);
  return Array.from({ length: parts }, (_, part) => [...instruction, ...ids.slice(part * size, (part + 1) * size)]);
}
