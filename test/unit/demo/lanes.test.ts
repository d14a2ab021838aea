// lanes: a pane's figures follow their definitions.

import { expect, test } from "vitest";
import { driftStep } from "../../../demo/panes/drift-strip";
import { applyEvent, decodeSpeed, EMPTY_LANE, firstSplit, type Lane, ratio, summarize } from "../../../demo/state/lanes";
import type { GenerateEvent, ScoredToken } from "../../../src/engine-types";

const tokens = (count: number, elapsedMs: number): GenerateEvent => ({
  kind: "tokens",
  ids: [count],
  text: "x",
  count,
  kvBytes: 50,
  fullBytes: 400,
  elapsedMs,
});
const after = (...events: GenerateEvent[]): Lane => events.reduce(applyEvent, EMPTY_LANE);

test("speed is (n - 1) over the time between first and last token, from the eighth on", () => {
  const events = Array.from({ length: 8 }, (_, i) => tokens(i + 1, i * 100));
  expect(decodeSpeed(after(...events.slice(0, 7)))).toBeUndefined();
  expect(decodeSpeed(after(...events))).toBeCloseTo(10);
});

test("tokens in batches count from the end of the first batch", () => {
  expect(decodeSpeed(after(tokens(4, 400), tokens(12, 1200)))).toBeCloseTo(10);
});

test("the ratio is 16-bit bytes over measured bytes", () => {
  expect(ratio(EMPTY_LANE)).toBeUndefined();
  expect(ratio(after(tokens(1, 0)))).toBe(8);
});

test("text collects in pieces, empty ones leave no span", () => {
  const lane = after(tokens(1, 0), { ...tokens(2, 1), text: "" } as GenerateEvent, tokens(3, 2));
  expect(lane.pieces).toEqual(["x", "x"]);
  expect(lane.ids).toEqual([1, 2, 3]);
});

test("drift is summed up by its own definition, and an empty one is not zero", () => {
  const scored = (kl: number, top1: boolean): ScoredToken => ({ id: 0, logprob: 0, fullLogprob: 0, kl, top1, first: 0, fullFirst: top1 ? 0 : 1 });
  expect(summarize([])).toBeUndefined();
  expect(summarize([scored(0.1, true), scored(0.5, false), scored(0, true)])).toEqual({
    same: 2,
    count: 3,
    meanKl: expect.closeTo(0.2),
    worst: 0.5,
    worstAt: 1,
  });
});

test("the steps of the strip begin at 0.01, 0.1 and 1 nat", () => {
  expect([0, 0.0099, 0.01, 0.099, 0.1, 0.99, 1, 20].map(driftStep)).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
});

test("texts part at the first different token; a beginning of the other does not part", () => {
  expect(firstSplit([1, 2, 3], [1, 9, 3])).toBe(1);
  expect(firstSplit([1, 2], [1, 2, 3])).toBeUndefined();
});
