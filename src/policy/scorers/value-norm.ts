// value-norm: importance |v|: long values change the output more. A part of other methods; alone, a baseline.

import { bySlot } from "./by-slot";

export const valueNorm = bySlot({ name: "value-norm", source: "a baseline", method: "value-norm", needs: [] });
