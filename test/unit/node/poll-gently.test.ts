// poll-gently: a native callback that asks for its next call rests in between; everybody else's are called as ever.

import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pollGently } from "../../../src/node/poll-gently";

const own = globalThis.setImmediate;
let rests = 0;
beforeEach(() => {
  rests = 0;
  vi.spyOn(Atomics, "wait").mockImplementation(() => {
    rests++;
    return "timed-out";
  });
  pollGently();
});
afterEach(() => {
  globalThis.setImmediate = own;
  vi.restoreAllMocks();
});

/** As Dawn's callback looks: bound functions are native, but have a name. */
function native(callback: () => void): () => void {
  return Object.defineProperty(callback.bind(undefined), "name", { value: "" });
}

test("polls rest in between, and not after the last", async () => {
  let polls = 0;
  await new Promise<void>((done) => {
    const poll = native(() => {
      polls++;
      if (polls < 10) setImmediate(poll);
      else done();
    });
    setImmediate(poll);
  });
  expect([polls, rests]).toEqual([10, 9]);
});

test("callbacks of others get their values and do not rest, nor does a promise of one", async () => {
  const got = await new Promise<number[]>((done) => {
    setImmediate((...values: number[]) => setImmediate(() => done(values)), 1, 2);
  });
  expect(got).toEqual([1, 2]);
  expect(await promisify(setImmediate)("value")).toBe("value");
  expect(rests).toBe(0);
});

test("one that was cleared is not called", async () => {
  let called = false;
  clearImmediate(
    setImmediate(
      native(() => {
        called = true;
      }),
    ),
  );
  await new Promise((done) => own(done));
  expect(called).toBe(false);
});
