// streaming-llm: sinks and recent tokens, whatever they say: later is better. Importance: 2^(32 p / (p + 8192) - 28) of position p, which rises with it
// and has a few tokens to a level of what is stored. Source: Xiao et al. 2024 (ICLR), with original positions, as kvpress has it.

import { bySlot } from "./by-slot";

export const streamingLlm = bySlot({ name: "streaming-llm", source: "Xiao et al. 2024, arXiv 2309.17453", method: "position", needs: [] });
