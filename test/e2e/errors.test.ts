// errors: everything that can be wrong from outside, in the page: the error is named, legible and in its place, nothing stays behind, and the page works on.
// A file that is no GGUF, a budget that is too small and a missing WebGPU: demo.test.ts.

import type { Browser, BrowserContext, Locator, Page } from "playwright";
import { afterAll, beforeAll, expect, inject, test, vi } from "vitest";
import { makeModel, withTensor, writeGguf } from "../unit/load/make-gguf";
import { type FlakySite, flakySite, look, nanModel, spoilWorkers, TINY, tinyBytes, whileRunning } from "./broken";
import { type OpenPage, openBrowser, openPage, screenshot } from "./browser";
import { answer, setNewTokens, setPrompt, untilEnded, untilReady } from "./demo-page";

const RUN_MS = 120_000;
/** WCAG 2.2, 1.4.3: text against what is behind it. */
const LEAST_CONTRAST = 4.5;
/** Twice, it is longer than the ring: a run takes pages, and must give them back. */
const PARAGRAPH =
  "Once upon a time there was a miller who had three sons, a mill, a donkey and a cat; the sons had to grind, and the donkey had to fetch the grain.";
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let browser: Browser;
/** Most cases happen to one page after the other: whatever went before, it must still work. */
let shared: OpenPage;
let idleBytes: number;

beforeAll(async () => {
  browser = await openBrowser();
  shared = await openPage(browser, "", { colorScheme: "light" });
  await untilReady(shared.page);
  idleBytes = await runShort(shared.page);
});

afterAll(() => browser?.close());

/** Both panes answer a short prompt; returns all GPU bytes that the engine holds afterwards. */
async function runShort(page: Page): Promise<number> {
  await page.locator("#policy").selectOption("uniform-8");
  await setPrompt(page, `${PARAGRAPH} ${PARAGRAPH}`, "text");
  await setNewTokens(page, 2);
  await page.locator("#run").click();
  expect([await untilEnded(page, "a", RUN_MS), await untilEnded(page, "b", RUN_MS)]).toEqual(["done", "done"]);
  expect((await answer(page, "a")).length).toBeGreaterThan(0);
  await page.locator("#engine-memory").waitFor(); // comes after the drift, when nothing runs any more
  return Number(await page.locator("#engine-memory").getAttribute("data-total"));
}

/** The model that was loaded works as before, in its one worker, and holds not a byte more. */
async function expectUnharmed(page: Page): Promise<void> {
  await untilReady(page);
  expect(await page.locator(".model-name").first().textContent()).toMatch(/tiny.* ready/i);
  expect(page.workers()).toHaveLength(1);
  expect(await runShort(page)).toBe(idleBytes);
}

/** The card's code and message, as a person sees them in either theme: on screen, not covered, not cut off, in ink that stands out. @param words what the message must say */
async function expectLegible(card: Locator, code: string, ...words: readonly RegExp[]): Promise<void> {
  await card.waitFor();
  expect(await card.getAttribute("role")).toBe("alert");
  expect(await card.locator(".error-code").textContent()).toBe(code);
  const message = card.locator("p").first();
  const text = (await message.textContent()) ?? "";
  for (const word of words) expect(text).toMatch(word);
  for (const colorScheme of ["dark", "light"] as const) {
    await card.page().emulateMedia({ colorScheme });
    for (const part of [message, card.locator(".error-code")]) {
      await part.scrollIntoViewIfNeeded();
      const { uncovered, fits, contrast } = await look(part);
      expect({ uncovered, fits }).toEqual({ uncovered: true, fits: true });
      expect(contrast, `${code} in the ${colorScheme} theme`).toBeGreaterThanOrEqual(LEAST_CONTRAST);
    }
  }
}

async function choose(page: Page, name: string, buffer: Buffer): Promise<void> {
  await page.locator("input[type=file]").setInputFiles({ name, mimeType: "application/octet-stream", buffer });
}

async function screenshotBoth(page: Page, name: string): Promise<void> {
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme });
    await screenshot(page, `${name}-${colorScheme}`);
  }
}

/** A page of its own, for what is broken before it opens. */
async function visit(prepare: (page: Page, context: BrowserContext) => Promise<void>, act: (open: OpenPage) => Promise<void>, path = ""): Promise<void> {
  const open = await openPage(browser, path, { colorScheme: "light" }, prepare);
  try {
    await act(open);
  } finally {
    await open.close();
  }
}

/** The first load failed: no worker is left over, nothing can be run. Then `cure`, and the card's button brings the model. */
async function expectCured(page: Page, cure: () => Promise<unknown>): Promise<void> {
  expect(page.workers()).toHaveLength(0);
  expect(await page.locator("#run").isDisabled()).toBe(true);
  await cure();
  await barCard(page).getByRole("button", { name: "Try again" }).click();
  await expectUnharmed(page);
  expect(await barCard(page).count()).toBe(0);
}

const barCard = (page: Page): Locator => page.locator(".model-bar .error-card");
const paneCard = (page: Page, pane: "a" | "b"): Locator => page.locator(`#lane-${pane} .error-card`);

const sound = makeModel();
const badFiles: readonly (readonly [what: string, code: string, bytes: () => Promise<Uint8Array>, words: readonly RegExp[]])[] = [
  ["a truncated file", "TRUNCATED", async () => (await tinyBytes()).subarray(0, 2_000_000), [/has 2000000 bytes/, /ends at byte \d+/, /get it again/]],
  ["an unknown architecture", "UNSUPPORTED_ARCHITECTURE", async () => writeGguf(makeModel({ architecture: "mamba" })), [/mamba/, /llama/]],
  [
    "an unknown tensor type",
    "UNSUPPORTED_TENSOR",
    async () => writeGguf(withTensor(sound, "blk.0.ffn_up.weight", { typeId: 10 })),
    [/blk\.0\.ffn_up\.weight is of type Q2_K/, /Q8_0/, /Choose another quantization/],
  ],
  [
    "a tensor whose size disagrees with its shape",
    "BAD_TENSOR",
    async () => writeGguf(withTensor(sound, "blk.0.ffn_up.weight", { shape: [64, 97] })),
    [/disagrees with a shape/, /get it again/],
  ],
];

test.for(badFiles)("%s is refused by name, and the loaded model goes on working", async ([what, code, bytes, words]) => {
  const { page } = shared;
  await choose(page, "model.gguf", Buffer.from(await bytes()));
  await expectLegible(barCard(page), code, /^model\.gguf/, ...words);
  expect(await barCard(page).getByRole("button", { name: "again" }).count(), "a wrong file stays wrong").toBe(0);
  if (what === "a truncated file") await screenshotBoth(page, "error-model-bar");
  await barCard(page).getByRole("button", { name: "Dismiss" }).click();
  expect(await barCard(page).count()).toBe(0);
  await expectUnharmed(page);
});

test("a prompt longer than the context says so in both panes", async () => {
  const { page } = shared;
  const tokens = await setPrompt(page, "and then ".repeat(2000), "text");
  await page.locator("#run").click();
  for (const pane of ["a", "b"] as const) {
    expect(await untilEnded(page, pane, RUN_MS)).toBe("failed");
    await expectLegible(paneCard(page, pane), "CONTEXT_FULL", new RegExp(`has ${tokens} tokens`), /\d+ positions/, /Shorten it/);
  }
  await screenshotBoth(page, "error-context");
  await expectUnharmed(page);
});

test("a model that computes NaN says so in both panes, and another can be loaded", async () => {
  const { page } = shared;
  await choose(page, "nan.gguf", await nanModel());
  await page.getByText("nan.gguf ready").waitFor();
  await page.locator("#run").click();
  for (const pane of ["a", "b"] as const) {
    expect(await untilEnded(page, pane, RUN_MS)).toBe("failed");
    await expectLegible(paneCard(page, pane), "BAD_LOGITS", /NaN or infinity/, /try another browser or model/);
  }
  await page.getByRole("button", { name: /^Load,/ }).click();
  await page.getByText("Lacuna tiny ready").waitFor();
  await expectUnharmed(page);
});

test("a model that is not what its hash says is refused, and fetched anew", async () => {
  const prepare = async (page: Page): Promise<void> => {
    await page.route(`**${TINY}`, async (route) => {
      const response = await route.fetch();
      const body = await response.body();
      body[body.length - 100] = (body.at(-100) ?? 0) ^ 1;
      await route.fulfill({ response, body });
    });
  };
  await visit(prepare, async ({ page }) => {
    await expectLegible(barCard(page), "HASH_MISMATCH", /has SHA-256 [0-9a-f]{64}, expected 7ee4a559/, /get it again/);
    await screenshotBoth(page, "error-hash");
    await expectCured(page, () => page.unroute(`**${TINY}`));
  });
});

test("a connection lost in mid-download is told, and the download goes on where it broke off", async () => {
  const site: FlakySite = await flakySite();
  const act = async ({ page, problems }: OpenPage): Promise<void> => {
    await expectLegible(barCard(page), "NETWORK", /1202224 of 2404448 bytes arrived/, /could not be read/, /go on from there/);
    expect((await problems()).filter((problem) => problem.includes(TINY)).length, "a real loss is seen by this harness").toBeGreaterThan(0);
    const asked = site.ranges.length;
    await expectCured(page, async () => (site.broken = false));
    expect(site.ranges.slice(asked)).toEqual(["bytes=1202224-"]);
  };
  await visit(async () => {}, act, site.address).finally(site.close);
});

/** What a browser does whose disk is nearly full: it says so when asked, or only when it is written to. */
const fullDisks: readonly (readonly [when: string, spoil: (context: BrowserContext) => Promise<void>, words: readonly RegExp[]])[] = [
  [
    "and told beforehand",
    (context) =>
      spoilWorkers(context, () => {
        StorageManager.prototype.estimate = async () => ({ quota: 1_500_000, usage: 500_000 });
      }),
    [/needs 2404448 more bytes/, /1000000 are free/, /Free some disk space/],
  ],
  ["and noticed while writing", async () => {}, [/failed while writing/, /QuotaExceededError/, /free some space/]], // Chromium tells pages of 10 GiB whatever there is
];

test.for(fullDisks)("a disk that is full %s is named, and once there is room the model loads", async ([, spoil, words]) => {
  let setQuota: (bytes?: number) => Promise<unknown> = async () => undefined;
  const prepare = async (page: Page, context: BrowserContext): Promise<void> => {
    const session = await context.newCDPSession(page);
    const origin = new URL(inject("address")).origin;
    setQuota = (quotaSize) => session.send("Storage.overrideQuotaForOrigin", { origin, ...(quotaSize === undefined ? {} : { quotaSize }) });
    await setQuota(1_000_000);
    await spoil(context);
  };
  await visit(prepare, async ({ page }) => {
    await expectLegible(barCard(page), "STORAGE", ...words);
    await expectCured(page, async () => {
      await setQuota();
      await page.context().unrouteAll();
    });
  });
});

test("where storage is denied the page says so, and a file from disk works without it", async () => {
  const deny = (): void => {
    const refuse = (): Promise<never> => Promise.reject(new DOMException("The request was denied.", "SecurityError"));
    StorageManager.prototype.getDirectory = refuse;
    CacheStorage.prototype.open = refuse;
  };
  await visit(
    (_page, context) => spoilWorkers(context, deny),
    async ({ page }) => {
      await expectLegible(barCard(page), "STORAGE", /SecurityError/, /open the model file from disk/);
      await screenshotBoth(page, "error-storage");
      await choose(page, "Tiny from disk.gguf", await tinyBytes());
      await expectUnharmed(page);
    },
  );
});

test("an adapter below the default limits is refused by the limit's name", async () => {
  const shrink = (): void => {
    const real = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "limits")?.get;
    const get = function (this: GPUAdapter): GPUSupportedLimits {
      const own = real?.call(this) as GPUSupportedLimits;
      return new Proxy(own, { get: (_, name) => (name === "maxStorageBufferBindingSize" ? 64 << 20 : Reflect.get(own, name, own)) });
    };
    Object.defineProperty(GPUAdapter.prototype, "limits", { get });
  };
  await visit(
    (_page, context) => spoilWorkers(context, shrink),
    async ({ page }) => {
      await expectLegible(barCard(page), "ADAPTER_LIMITS", /maxStorageBufferBindingSize is 67108864/, /needs 134217728/, /Use another GPU or browser/);
      await expectCured(page, () => page.context().unrouteAll());
    },
  );
});

test("a GPU that runs out of memory says so in the pane, and the model goes on working", async () => {
  const { page } = shared;
  await untilReady(page);
  await setPrompt(page, PARAGRAPH, "text");
  await setNewTokens(page, 64);
  await whileRunning(page, "out of memory");
  await page.locator("#run").click();
  expect(await untilEnded(page, "a", RUN_MS)).toBe("failed");
  await expectLegible(paneCard(page, "a"), "OUT_OF_MEMORY", /no memory left/, /Use a smaller model, context or budget/);
  expect(await untilEnded(page, "b", RUN_MS), "the other pane has a cache of its own").toBe("done");
  await expectUnharmed(page);
});

test("a device lost in mid-run is told in the pane, and one press loads the model again", async () => {
  const { page } = shared;
  await untilReady(page);
  await setPrompt(page, PARAGRAPH, "text");
  await setNewTokens(page, 512);
  await whileRunning(page, "lost device");
  await page.locator("#run").click();
  for (const pane of ["a", "b"] as const) {
    expect(await untilEnded(page, pane, RUN_MS)).toBe("failed");
    await expectLegible(paneCard(page, pane), "DEVICE_LOST", /was lost/, /Load the engine again/);
  }
  await expectLegible(barCard(page), "DEVICE_LOST", /was lost/);
  await screenshotBoth(page, "error-device-lost");
  await vi.waitFor(() => expect(page.workers()).toHaveLength(0), RUN_MS);
  expect(await page.locator("#run").isDisabled()).toBe(true);
  await barCard(page).getByRole("button", { name: "Load it again" }).press("Enter");
  await expectUnharmed(page);
  expect(await barCard(page).count()).toBe(0);
});

test("a crash of the browser's GPU process is noticed at the next key stroke, and the model comes back", async () => {
  const { page } = shared;
  await untilReady(page);
  const session = await browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess").catch(() => undefined);
  await page.locator("#prompt").fill("The graphics process has just crashed.");
  await expectLegible(barCard(page), "DEVICE_LOST", /was lost/, /Load the engine again/);
  await barCard(page).getByRole("button", { name: "Load it again" }).click();
  await expectUnharmed(page);
});
