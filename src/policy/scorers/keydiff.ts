// keydiff: keys unlike the others stay. Published score -cos(k, mean unit key); importance 1 - cos. In the ring the mean is the prompt's.
// Source: Park et al. 2025 (arXiv 2504.15364).

import { bySlot } from "./by-slot";

export const keydiff = bySlot({ name: "keydiff", source: "Park et al. 2025, arXiv 2504.15364", method: "key-difference", needs: ["mean-keys"] });
