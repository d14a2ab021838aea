// sessions: conversations in the worker of a real page: turns, forks, snapshots and the cold tier in memory and in OPFS; every byte comes back in the end.
// Driven through the public client on a page of its own (api/), built like the product's.

import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright";
import { build } from "vite";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { ColdOptions, ColdReport, MemoryReport, SessionUsage } from "../../src/engine-types";
import { type OpenPage, openBrowser, openPage, PATIENCE_MS } from "./browser";

const api = fileURLToPath(new URL("api", import.meta.url));
const site = fileURLToPath(new URL("../../test-results/site/api", import.meta.url));
let browser: Browser;
let open: OpenPage;

beforeAll(async () => {
  const output = { outDir: site, emptyOutDir: true, target: "es2022" };
  await build({ root: api, configFile: false, base: "./", logLevel: "error", build: output, worker: { format: "es" } });
  browser = await openBrowser();
  open = await openPage(browser, "api/index.html");
  await open.page.waitForFunction(() => "loadTiny" in window);
  await open.page.evaluate((base) => window.loadTiny(base), inject("address"));
});

afterAll(async () => {
  await open?.close();
  await browser?.close();
});

interface Talk {
  readonly before: MemoryReport;
  readonly after: MemoryReport;
  /** Ids of the answers: of the session, its fork, and the session gone back. */
  readonly answers: readonly (readonly number[])[];
  readonly usage: readonly SessionUsage[];
  readonly files: readonly (readonly number[])[];
  readonly limited: ColdReport | undefined;
  readonly refused: { readonly code: string; readonly field: unknown };
}

/** A prompt, a fork and a moment, the same question to all three, a lower limit, and the end. */
async function talk(page: Page, cold: ColdOptions): Promise<Talk> {
  return page.evaluate(async (cold) => {
    const { engine, say, filesLeft } = window;
    const before = await engine.memory();
    const words = "The harbour master counted the boats again, wrote the number down, and looked out over the grey water. ".repeat(9);
    const ids = (await engine.tokenize({ text: words })).slice(0, 150);
    const session = await engine.open({ policy: "expected-attention", budget: { ratio: 0.3 }, tokens: 200, cold });
    const first = await say(session, { prompt: { ids }, maxTokens: 3 });
    const mark = await session.snapshot();
    const fork = await session.fork();
    const files = [await filesLeft()];
    const asked = { prompt: " Who counted the boats?", maxTokens: 8, temperature: 0.7, seed: 5 };
    const here = await say(session, asked);
    const there = await say(fork, asked);
    const usage = [await session.usage(), await fork.usage()];
    await session.restore(mark);
    usage.push(await session.usage());
    const again = await say(session, asked);
    await session.limitCold(Math.ceil((usage[0]?.cold?.bytes ?? 0) / 3));
    const limited = (await session.usage()).cold;
    const refused = await session.limitCold(5).then(
      () => ({ code: "", field: undefined }),
      (error: { code: string; details: { field: unknown } }) => ({ code: error.code, field: error.details.field }),
    );
    await Promise.all([session.dispose(), fork.dispose()]);
    files.push(await filesLeft());
    const answers = [first, here, there, again].map(({ output }) => output.ids);
    return { before, after: await engine.memory(), answers, usage, files, limited, refused };
  }, cold);
}

const MAX_BYTES = 4 << 20;
let inMemory: Talk;

/** Where slots are, without where they are kept. */
function places(usage: SessionUsage | undefined): unknown {
  const { bytes: _, fileBytes: __, fileFailure: ___, ...places } = usage?.cold ?? { bytes: 0, fileBytes: 0 };
  return places;
}

test("a fork and a moment gone back to say the same; when all is disposed every byte is back", async () => {
  inMemory = await talk(open.page, { maxBytes: MAX_BYTES });
  const { before, after, answers, usage, limited, refused, files } = inMemory;
  const [first, , there, again] = answers;
  expect(first).toHaveLength(3);
  expect(there).toHaveLength(8);
  expect(again).toEqual(there);
  const [one, two, back] = usage;
  expect([one?.tokens, two?.tokens, back?.tokens]).toEqual([two?.tokens, two?.tokens, 153]);
  expect([one?.snapshotBytes, two?.snapshotBytes, back?.snapshotBytes]).toEqual([one?.kvBytes, 0, one?.kvBytes]);
  for (const { tokens, cold } of usage) {
    const { hot = 0, gone, bytes = 0, fileBytes } = cold ?? {};
    expect(hot + (cold?.cold ?? 0)).toBe((tokens - 1) * (await slotsPerToken())); // the newest token comes in with the next
    expect([gone, fileBytes, hot > 0, (cold?.cold ?? 0) > 0, bytes > 0, bytes <= MAX_BYTES]).toEqual([0, 0, true, true, true, true]);
  }
  expect(limited?.gone).toBeGreaterThan(0);
  expect(limited?.bytes).toBeLessThanOrEqual((one?.cold?.bytes ?? 0) / 3 + 1);
  expect(refused).toEqual({ code: "BAD_OPTION", field: "cold.maxBytes" });
  expect(after).toEqual({ ...before, peak: expect.any(Number) });
  expect(files).toEqual([[], []]);
});

test("with the cold tier in OPFS it says the same; a file each for session and fork, gone with them", async () => {
  const { before, after, answers, usage, limited, files } = await talk(open.page, { maxBytes: MAX_BYTES, store: "opfs" });
  expect(answers).toEqual(inMemory.answers);
  expect(usage.map(places)).toEqual(inMemory.usage.map(places));
  for (const { cold } of usage) {
    expect(cold?.fileFailure).toBeUndefined();
    expect(cold?.fileBytes).toBeGreaterThan(0.4 * (cold?.bytes ?? 0)); // the newest blocks are in memory
    expect(cold?.fileBytes).toBeLessThan(0.6 * (cold?.bytes ?? 0));
  }
  expect(limited?.bytes).toBeLessThanOrEqual(limited?.maxBytes ?? 0);
  expect(files[0]).toHaveLength(2);
  expect(Math.min(...(files[0] ?? []))).toBeGreaterThan(0);
  expect(files[1]).toEqual([]);
  expect(after).toEqual({ ...before, peak: expect.any(Number) });
});

test("where the quota is full the rest stays in memory, and usage says why; where nothing can be opened, it is a typed error", async () => {
  const { page } = open;
  const devtools = await page.context().newCDPSession(page);
  const origin = new URL(inject("address")).origin;
  const say = (): Promise<{ cold: ColdReport | undefined; ids: readonly number[] }> =>
    page.evaluate(async (maxBytes) => {
      const ids = (await window.engine.tokenize({ text: "The boats came back late, one by one, without their nets. ".repeat(9) })).slice(0, 120);
      const request = { policy: "expected-attention", budget: { ratio: 0.5 }, tokens: 130, cold: { maxBytes, store: "opfs" } } as const;
      const session = await window.engine.open(request);
      const { output } = await window.say(session, { prompt: { ids }, maxTokens: 4 });
      const { cold } = await session.usage();
      await session.dispose();
      return { cold, ids: output.ids };
    }, MAX_BYTES);
  const usage = await page.evaluate(async () => (await navigator.storage.estimate()).usage ?? 0);
  try {
    const whole = await say();
    expect(whole.cold?.fileFailure).toBeUndefined();
    await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: usage + 20_000 });
    const { cold, ids } = await say();
    expect(ids).toEqual(whole.ids);
    expect(cold?.fileFailure).toMatch(/QuotaExceededError/);
    expect(cold?.fileBytes).toBeLessThan(whole.cold?.fileBytes ?? 0);
    expect([cold?.hot, cold?.cold, cold?.gone]).toEqual([whole.cold?.hot, whole.cold?.cold, whole.cold?.gone]);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1000 });
    await expect(say()).rejects.toThrow(/QuotaExceededError.*keep it in memory/);
  } finally {
    await devtools.send("Storage.overrideQuotaForOrigin", { origin });
  }
  expect(await page.evaluate(() => window.filesLeft())).toEqual([]);
});

test("a page that is reloaded leaves its file to the next load, which deletes it", async () => {
  const { page } = open;
  await page.evaluate(async (maxBytes) => {
    const session = await window.engine.open({ policy: "expected-attention", budget: { ratio: 0.4 }, tokens: 150, cold: { maxBytes, store: "opfs" } });
    await window.say(session, { prompt: "Once upon a time, ".repeat(12), maxTokens: 1 });
  }, MAX_BYTES);
  const left = (): Promise<number[]> => page.evaluate(() => window.filesLeft());
  expect(await left()).toEqual([expect.any(Number)]);
  expect((await left())[0]).toBeGreaterThan(0);
  expect(await open.problems()).toEqual([]);
  await page.reload();
  await page.waitForFunction(() => "loadTiny" in window);
  expect(await left()).toHaveLength(1);
  await page.evaluate((base) => void window.loadTiny(base), inject("address"));
  await expect.poll(left, { timeout: PATIENCE_MS }).toEqual([]);
});

/** Slots of a token: layers times kv heads. */
async function slotsPerToken(): Promise<number> {
  return open.page.evaluate(() => window.engine.info.model.layers * window.engine.info.model.kvHeads);
}
