// random: uniform numbers in (0, 1), importance as they are: what any method must beat. A hash of (seed, layer, head, position), so that a token keeps its
// number wherever it lies; `seed` is read.

import { bySlot } from "./by-slot";

export const random = bySlot({ name: "random", source: "a baseline", method: "random", needs: [] });
