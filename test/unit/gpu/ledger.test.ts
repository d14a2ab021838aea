// ledger: the peak and what was live when it was reached. Any object with a size and a label stands in for a buffer.

import { expect, test } from "vitest";
import { Ledger } from "../../../src/gpu/ledger";

function buffer(label: string, size: number): GPUBuffer {
  return { label, size } as GPUBuffer;
}

function labels(ledger: Ledger): string[] {
  return ledger.atPeak.map(({ label }) => label).sort();
}

test("the buffers at the peak are those of the largest sum, not of the last", () => {
  const ledger = new Ledger();
  const [weights, staging, cache] = [buffer("weights", 100), buffer("staging", 50), buffer("cache", 30)];
  ledger.add(weights, "weights", "Model");
  ledger.add(staging, "staging", "Prompt");
  expect(labels(ledger)).toEqual(["staging", "weights"]);
  ledger.remove(staging);
  ledger.add(cache, "kv", "Sequence");
  expect(ledger.bytes()).toBe(130);
  expect(ledger.peak).toBe(150);
  expect(labels(ledger)).toEqual(["staging", "weights"]);
  expect(ledger.atPeak.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(ledger.peak);
});

test("a sum that equals the peak leaves what was there first, a larger one replaces it", () => {
  const ledger = new Ledger();
  const [first, second, third] = [buffer("first", 10), buffer("second", 10), buffer("third", 1)];
  ledger.add(first, "scratch", "A");
  ledger.remove(first);
  ledger.add(second, "scratch", "A");
  expect(labels(ledger)).toEqual(["first"]);
  ledger.add(third, "scratch", "A");
  expect(ledger.peak).toBe(11);
  expect(labels(ledger)).toEqual(["second", "third"]);
});

test("resetPeak starts again from what is live", () => {
  const ledger = new Ledger();
  const [kept, gone] = [buffer("kept", 10), buffer("gone", 90)];
  ledger.add(kept, "weights", "A");
  ledger.add(gone, "staging", "A");
  ledger.remove(gone);
  ledger.resetPeak();
  expect(ledger.peak).toBe(10);
  expect(labels(ledger)).toEqual(["kept"]);
});

test("a watch follows the peak as it would be without some owners", () => {
  const ledger = new Ledger();
  const [own, other, prompt, late] = [buffer("own", 10), buffer("other", 100), buffer("prompt", 50), buffer("late", 20)];
  ledger.add(own, "kv", "Own");
  ledger.add(other, "kv", "Other");
  const [watch, all] = [ledger.watch(["Other", "Judge"]), ledger.watch([])];
  expect([watch.bytes, all.bytes]).toEqual([10, 110]);
  ledger.add(prompt, "staging", "Prompt");
  ledger.remove(prompt);
  ledger.remove(other);
  ledger.add(late, "kv", "Judge");
  expect([watch.bytes, all.bytes]).toEqual([60, 160]);
  watch.end();
  ledger.add(buffer("more", 1000), "kv", "Own");
  expect([watch.bytes, all.bytes]).toEqual([60, 1030]);
});
