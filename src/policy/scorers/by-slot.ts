// by-slot: a method whose score of a slot depends on its position, key or value alone: the same formula in prompt and ring, one dispatch.

import type { ScoreName } from "../../engine-types";
import { type SlotScoresArgs, slotScores } from "../../kernels/slot-scores";
import { requireCalibration } from "../calibration";
import type { Scorer } from "./scorer";

export interface SlotMethod {
  readonly name: ScoreName;
  readonly source: string;
  readonly method: SlotScoresArgs["method"];
  /** What the formula compares a key with. */
  readonly needs: readonly ("mean-keys" | "directions")[];
}

export function bySlot({ name, source, method, needs }: SlotMethod): Scorer {
  const directed = needs.includes("directions");
  return {
    name,
    source,
    defaults: {},
    prompt(view, { seed }) {
      const { gpu, dims, params, tokens, keys, values, layer, importance, storage } = view;
      let anchors = needs.includes("mean-keys") ? view.meanKeys() : view.moments;
      if (directed) {
        const { queryDirection } = requireCalibration(view.calibration, name);
        const directions = view.create("directions", queryDirection.length);
        gpu.write(directions, 0, queryDirection);
        anchors = directions;
      }
      view.add(slotScores(gpu, dims, { range: { params, tokens }, method, keys, values, anchors, layer, importance, seed, storage }));
    },
    ring(view, { seed, sinks }) {
      const { gpu, dims, step, slots, layer, layerIndex, keys, values, moments, importance, storage } = view;
      let anchors = moments;
      if (directed) {
        const { queryDirection } = requireCalibration(view.calibration, name);
        const floats = dims.kvHeads * dims.headSize;
        const directions = view.create("directions", floats);
        gpu.write(directions, 0, queryDirection.subarray(layer * floats, (layer + 1) * floats));
        anchors = directions;
      }
      return slotScores(gpu, dims, { range: { step, slots, sinks }, method, keys, values, anchors, layer: layerIndex, importance, seed, storage });
    },
  };
}
