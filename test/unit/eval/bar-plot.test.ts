// bar-plot: the progress bar's words, and what the picture shows.

import { parseHTML } from "linkedom";
import { expect, test } from "vitest";
import { Bar, time } from "../../eval/bar";
import { plotSvg } from "../../eval/plot";
import type { Row } from "../../eval/rows";

test("the time that is left is counted from what this run measured, not from what was kept", () => {
  let now = 0;
  const lines: string[] = [];
  const bar = new Bar(
    10,
    4,
    (text) => lines.push(text),
    false,
    () => now,
  );
  now = 20_000;
  bar.within(1, "half-way"); // nothing: this is no terminal
  bar.add(2, "first");
  now = 60_000;
  bar.add(4, "second");
  expect(lines).toEqual([
    "4 of 10 are kept from an earlier run (--fresh measures again)\n",
    "[##############..........] 6/10 40 s left first\n",
    "[########################] 10/10 0 s left second\n",
  ]);
});

test("a terminal's line is redrawn, not too often, and ended once", () => {
  let now = 0;
  const lines: string[] = [];
  const bar = new Bar(
    2,
    0,
    (text) => lines.push(text),
    true,
    () => now,
  );
  for (now = 1000; now <= 1500; now += 100) bar.within(now / 2000, "a");
  bar.add(2, "a");
  expect(lines).toEqual([
    "\r\x1b[K[######..................] 0/2 3 s left a",
    "\r\x1b[K[#######.................] 0/2 3 s left a",
    "\r\x1b[K[########................] 0/2 3 s left a",
    "\r\x1b[K[########################] 2/2 0 s left a\n",
  ]);
});

test("times as people say them", () => {
  expect([0, 42.4, 200, 3900, 40_000].map(time)).toEqual(["0 s", "42 s", "3 min", "65 min", "11 h 7 min"]);
});

const row = (policy: string, kind: Row["kind"], share: number, meanKl: number): Row => ({
  policy,
  budget: share,
  task: "forced",
  kind,
  length: 512,
  samples: 1,
  score: 1,
  meanKl,
  top1Agreement: 1,
  perplexityRatio: 1,
  kvBytes: share * 1e6,
  fullBytes: 1e6,
  readBytes: 1e5,
  peakBytes: 1e7,
  evicted: 0,
  decodeTokensPerSecond: 1,
});

test("a dot for each row but the full cache's, lower for a lower KL, further right for more bytes; a panel a kind, a legend line a policy", () => {
  const rows = (["prose", "facts"] as const).flatMap((kind) => [
    row("full", kind, 1, 0),
    ...["one", '{"precision":{"kind":"rate-distortion"},"budget":{"kind":"ada"}}'].flatMap((policy) => [
      row(policy, kind, 0.25, 0.001),
      row(policy, kind, 0.125, 0.1),
    ]),
    row("exact", kind, 0.9, 0),
  ]);
  const { document } = parseHTML(`<html><body>${plotSvg(rows, "the title")}</body></html>`);
  expect(document.querySelector("svg")?.getAttribute("xmlns")).toBe("http://www.w3.org/2000/svg");
  const dots = [...document.querySelectorAll("g[aria-label=dot] path, g[aria-label=dot] circle")].filter((dot) => dot.querySelector("title"));
  expect(dots).toHaveLength(10);
  const places = new Map(dots.map((dot) => [dot.querySelector("title")?.textContent, place(dot)]));
  const [few, many] = [places.get("one: 0.100 nats, 125000 bytes"), places.get("one: 0.00100 nats, 250000 bytes")];
  expect(few?.x).toBeLessThan(many?.x ?? 0);
  expect(few?.y).toBeLessThan(many?.y ?? 0); // y runs down: the higher KL stands above
  const words = [...document.querySelectorAll("text")].map(({ textContent }) => textContent);
  for (const wanted of ["the title", "prose", "facts", "one", "exact", '{"precision":{"kind":"rate-distortion"},"budg...']) expect(words).toContain(wanted);
  expect(words).not.toContain("full");
  expect(document.querySelector("svg")?.outerHTML).not.toMatch(/NaN|Infinity|undefined/);
});

test("one row, one kind: still a picture", () => {
  const svg = plotSvg([row("one", "prose", 0.25, 0.01)], "t");
  expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  expect(svg).toContain("one: 0.0100 nats");
  expect(plotSvg([row("full", "prose", 1, 0)], "t")).toContain("<svg");
});

function place(dot: Element): { readonly x: number; readonly y: number } {
  const [, x, y] = /translate\(([\d.]+),([\d.]+)\)/.exec(dot.getAttribute("transform") ?? "") ?? [];
  return { x: Number(x ?? dot.getAttribute("cx")), y: Number(y ?? dot.getAttribute("cy")) };
}
