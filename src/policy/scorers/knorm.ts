// knorm: short keys are attended to more. Published score -|k|; importance 1/|k|. Source: Devoto et al. 2024 (arXiv 2406.11430).

import { bySlot } from "./by-slot";

export const knorm = bySlot({ name: "knorm", source: "Devoto et al. 2024, arXiv 2406.11430", method: "key-norm", needs: [] });
