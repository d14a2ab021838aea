// future-rotation: the closed form against a plain average, for every way a model scales its RoPE.

import { test } from "vitest";
import { futureRotation } from "../../../src/cache/future-rotation";
import type { RopeConfig } from "../../../src/model/model-config";
import { expectClose, tolerances } from "../../tolerances";

const D = 64;
const plain: RopeConfig = { theta: 10000, pairing: "half", divisors: new Float64Array(D / 2).fill(1), magnitude: 1 };
const scaled: RopeConfig = { theta: 500000, pairing: "neighbour", divisors: Float64Array.from({ length: D / 2 }, (_, i) => 1 + i / 4), magnitude: 1.3 };

test.each([
  ["plain, from 1000, 512 positions", plain, 1000, 512],
  ["one position is that position's rotation", plain, 7, 1],
  ["an even count has its middle between two positions", plain, 24, 16],
  ["divisors and magnitude", scaled, 3000, 512],
  ["position 0", scaled, 0, 33],
])("%s", (_, rope, first, count) => {
  const average = new Float64Array(D);
  for (let position = first; position < first + count; position++)
    for (let pair = 0; pair < D / 2; pair++) {
      const angle = (position * rope.theta ** ((-2 * pair) / D)) / rope.divisors[pair]!;
      average[2 * pair]! += (rope.magnitude * Math.cos(angle)) / count;
      average[2 * pair + 1]! += (rope.magnitude * Math.sin(angle)) / count;
    }
  expectClose(futureRotation(rope, D, first, count), average, tolerances.f64);
});
