// qfilter: keys far along the direction in which their head's queries look. Published score <direction, k>; importance 2^(15 x / (|x| + 8) - 12) with
// x = <direction, k> / sqrt(D), which rises with it. The direction is the calibration's. Source: Godey et al. 2025 (arXiv 2503.02812).

import { bySlot } from "./by-slot";

export const qfilter = bySlot({ name: "qfilter", source: "Godey et al. 2025, arXiv 2503.02812", method: "direction", needs: ["directions"] });
