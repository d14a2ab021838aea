// demo: the page end to end in Chromium on SwiftShader with the tiny model. Speeds are never compared, only presence and order.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions } from "playwright";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type OpenPage, openBrowser, openPage, screenshot } from "./browser";
import { answer, drift, figure, mapPixels, recalledPixels, setNewTokens, setPrompt, untilDriftDone, untilEnded, untilReady } from "./demo-page";

// All patience: how fast the page is, `npm run bench -- page` measures.
const BOTH_PANES_MS = 180_000;
const DRIFT_MS = 120_000;
const STOP_MS = 20_000;
vi.setConfig({ testTimeout: 400_000 });

let browser: Browser;
let essay: string;

beforeAll(async () => {
  browser = await openBrowser();
  essay = await readFile(fileURLToPath(new URL("../../demo/samples/essay.txt", import.meta.url)), "utf8");
});

afterAll(() => browser?.close());

async function visit<Value>(options: BrowserContextOptions, act: (open: OpenPage) => Promise<Value>): Promise<Value> {
  const open = await openPage(browser, "", options);
  try {
    return await act(open);
  } finally {
    await open.close();
  }
}

test("both panes answer a 512-token prompt with 64 tokens, and the figures agree with each other", async () => {
  await visit({ colorScheme: "light" }, async ({ page, problems }) => {
    const outside: string[] = [];
    const home = new URL(page.url()).origin;
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== home && !request.url().startsWith("blob:") && !request.url().startsWith("data:")) outside.push(request.url());
    });
    await untilReady(page);
    const tokens = await setPrompt(page, `${essay.trim()} ${essay.slice(0, 600)}`, "text");
    expect(tokens).toBeGreaterThan(480);
    await setNewTokens(page, 64);
    await page.locator("#run").click();
    expect(await untilEnded(page, "a", BOTH_PANES_MS)).toBe("done");
    expect(await untilEnded(page, "b", BOTH_PANES_MS)).toBe("done");
    await untilDriftDone(page, DRIFT_MS);

    for (const pane of ["a", "b"] as const) {
      expect((await answer(page, pane)).length, `text of ${pane}`).toBeGreaterThan(20);
      for (const name of ["kv", "ratio", "speed", "prefill"] as const) expect(await figure(page, pane, name), `${name} of ${pane}`).toBeGreaterThan(0);
    }
    expect(await figure(page, "b", "kv")).toBeLessThan(((await figure(page, "a", "kv")) ?? 0) * 0.75);
    expect(await figure(page, "b", "ratio")).toBeGreaterThan(((await figure(page, "a", "ratio")) ?? 0) * 1.3);

    const measured = await drift(page);
    expect(measured.cells).toBe(measured.count);
    expect(measured.count).toBeGreaterThan(0);
    expect(measured.same).toBeLessThanOrEqual(measured.count);
    expect(measured.meanKl).toBeGreaterThan(0);

    const pixels = await mapPixels(page);
    expect(pixels.colours).toBeGreaterThan(2);
    expect(pixels.painted).toBeGreaterThan(0.05);
    await page.locator("#map-as-table").click();
    expect(await page.locator("#map-table tbody tr").count()).toBe(8); // tiny: 4 layers of 2 kv heads
    await page.locator("#map-as-table").click();

    await screenshot(page, "demo-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await screenshot(page, "demo-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 360, height: 740 });
    await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBe(360); // charts follow a frame later
    await screenshot(page, "demo-phone");
    expect(await problems()).toEqual([]);
    expect(outside).toEqual([]);
  });
});

test("with policy full both panes hold the same and nothing drifts", async () => {
  await visit({}, async ({ page }) => {
    await untilReady(page);
    await page.getByRole("button", { name: "A pass key" }).click();
    await page.locator("#policy").selectOption("full");
    await page.locator("#run").click();
    await untilEnded(page, "b", BOTH_PANES_MS);
    await untilDriftDone(page, DRIFT_MS);
    expect(await answer(page, "b")).toBe(await answer(page, "a"));
    expect(await figure(page, "b", "kv")).toBe(await figure(page, "a", "kv"));
    const { same, count, meanKl } = await drift(page);
    expect(same).toBe(count);
    expect(meanKl).toBeLessThanOrEqual(1e-4);
  });
});

test("the compressed cache finds the fact that eviction at the same bytes loses", async () => {
  await visit({}, async ({ page }) => {
    await untilReady(page);
    await page.getByRole("button", { name: "Six facts in a chapter" }).click();
    await page.locator("#run").click();
    await untilEnded(page, "b", BOTH_PANES_MS);
    await untilDriftDone(page, DRIFT_MS);
    expect(await answer(page, "a")).toContain("482137");
    expect(await answer(page, "b")).toContain("482137");
    const kept = await figure(page, "b", "kv");
    await page.locator("#same-bytes").click();
    await page.locator("tr[data-policy=expected-attention]").waitFor({ timeout: BOTH_PANES_MS });
    expect(await answer(page, "b")).not.toContain("482137");
    expect(await figure(page, "b", "kv")).toBeLessThanOrEqual((kept ?? 0) * 1.05);
    await screenshot(page, "demo-eviction");
  });
});

test("what was dropped comes back: with the cold tier the compressed cache answers as the full one, without it it does not", async () => {
  await visit({ colorScheme: "light" }, async ({ page, problems }) => {
    await untilReady(page);
    expect(await page.locator("#cold-tier").isChecked()).toBe(false);
    await page.getByRole("button", { name: "What comes back" }).click();
    expect(await page.locator("#cold-tier").isChecked()).toBe(true);
    const chosen = await page.locator("#policy").inputValue();
    for (const [policy, note] of [
      ["fastkv", /upper layers see only part/],
      ["uniform-4", /drops nothing/],
      [chosen, /comes back/],
    ] as const) {
      // biome-ignore format: one line
      await page.locator("#policy").selectOption(policy);
      expect(await page.locator("#cold-note").textContent()).toMatch(note);
      for (const control of ["#cold-tier", "#cold-store"]) expect(await page.locator(control).isDisabled()).toBe(policy !== chosen);
    }
    await page.locator("#cold-store").selectOption("opfs");
    await page.locator("#run").click();
    await untilEnded(page, "b", BOTH_PANES_MS);
    await untilDriftDone(page, DRIFT_MS);
    const fact = "396509";
    expect(await answer(page, "a")).toContain(fact);
    expect(await answer(page, "b")).toContain(fact);
    const { count, cells } = await drift(page);
    expect([count, cells]).toEqual([count, await page.locator("#text-b > span").count()]); // the answer's tokens, not the question's

    const read = async (name: Parameters<typeof figure>[2]): Promise<number> => (await figure(page, "b", name)) ?? Number.NaN;
    expect(await read("recalled")).toBeGreaterThan(0);
    expect(await read("hot")).toBeGreaterThanOrEqual(await read("recalled"));
    expect(await read("cold")).toBeGreaterThan(await read("hot"));
    expect(await read("cold-bytes")).toBeGreaterThan(0);
    expect(await read("cold-file")).toBeGreaterThan(0.45 * (await read("cold-bytes")));
    expect(await read("cold-file")).toBeLessThanOrEqual(0.55 * (await read("cold-bytes")));
    expect(await read("read")).toBeLessThan(((await figure(page, "a", "read")) ?? 0) * 0.5);
    expect(await page.locator("#lane-a [data-figure=cold-bytes]").count()).toBe(0);

    const light = await recalledPixels(page);
    expect(light).toBeGreaterThan(0);
    expect(await page.locator(".recalled-run").count()).toBeGreaterThan(0);
    const back = await page.locator(".manuscript .recalled").allTextContents();
    expect(back.length).toBe(Number(await page.locator("#recalled-note").getAttribute("data-tokens")));
    expect(back.join("")).toContain(fact);
    await page.locator("#recalled-key").waitFor();
    expect(await page.locator(".manuscript").evaluate((element) => element.scrollTop)).toBeGreaterThan(0);
    await page.locator("#map-as-table").click();
    const guests = await page.locator("#map-table tbody tr td:nth-child(5)").allTextContents();
    expect(guests.reduce((sum, text) => sum + Number(text), 0)).toBe(await read("recalled")); // the map's guests are the engine's recalled slots
    await page.locator("#map-as-table").click();
    await screenshot(page, "demo-recall-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await expect.poll(() => recalledPixels(page)).toBe(light);
    await screenshot(page, "demo-recall-dark");
    await page.setViewportSize({ width: 360, height: 740 });
    await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBe(360); // charts follow a frame later
    await screenshot(page, "demo-recall-phone");
    await page.setViewportSize({ width: 1280, height: 900 });

    const bytes = await read("kv");
    await page.locator("#without-cold").click();
    await page.locator("tr[data-cold=false]").waitFor({ timeout: BOTH_PANES_MS });
    expect(await page.locator("#cold-tier").isChecked()).toBe(false);
    expect(await answer(page, "b")).not.toContain(fact);
    expect(await page.locator("#lane-b [data-figure=recalled], .recalled-run, .manuscript .recalled").count()).toBe(0);
    expect(await read("kv")).toBeLessThanOrEqual(bytes * 1.05);
    await screenshot(page, "demo-recall-without");
    expect(await problems()).toEqual([]);
  });
});

test("Escape stops a run in mid-prompt and in mid-answer, and the next run works", async () => {
  await visit({}, async ({ page, problems }) => {
    await untilReady(page);
    await setNewTokens(page, 512);
    await page.locator("#run").click();
    await page.locator("#lane-a[data-status=reading]").waitFor();
    await page.keyboard.press("Escape");
    expect(await untilEnded(page, "a", STOP_MS)).toBe("stopped");
    await page.locator("#run").waitFor();

    await setPrompt(page, essay.slice(0, 300), "text");
    await page.locator("#policy").selectOption("uniform-8"); // a short prompt's 12.5 % would be too small a budget
    await page.locator("#run").click();
    await page.locator("#text-a > span").nth(3).waitFor({ timeout: BOTH_PANES_MS });
    await page.locator("#stop").click();
    expect(await untilEnded(page, "a", STOP_MS)).toBe("stopped");
    expect(await untilEnded(page, "b", STOP_MS)).toBe("stopped");
    expect((await answer(page, "a")).length).toBeGreaterThan(0);

    await setNewTokens(page, 8);
    await page.locator("#run").click();
    await page.locator("#lane-b[data-status=done]").waitFor({ timeout: BOTH_PANES_MS });
    expect(await problems()).toEqual([]);
  });
});

test("a policy of one's own: a preset's four choices, one of them changed, run; what does not go together is refused in the pane", async () => {
  await visit({ colorScheme: "light" }, async ({ page, problems }) => {
    await untilReady(page);
    await setPrompt(page, essay.slice(0, 600), "text");
    await setNewTokens(page, 8);
    await page.locator("#policy").selectOption("ada-snapkv");
    expect(await page.locator("#policy-note").textContent()).toContain("Feng et al. 2024");
    await page.getByText("Compose your own").click();
    const score = page.getByLabel("Score");
    expect(await score.inputValue()).toBe("snapkv");
    expect(await page.locator("#policy").inputValue()).toBe("ada-snapkv");
    await score.selectOption("keydiff");
    expect(await page.locator("#policy").inputValue()).toBe("custom");
    await page.getByLabel("Ring, tokens").fill("32");
    await page.getByLabel("Ring, tokens").press("Tab");
    await page.locator("#budget").fill("9"); // half: 600 characters at 12.5 % would be too small a budget
    await page.locator("#run").click();
    expect(await untilEnded(page, "b", BOTH_PANES_MS)).toBe("done");
    await untilDriftDone(page, DRIFT_MS);
    expect(await page.locator("#lane-b header").textContent()).toContain("Custom (Score: Key difference");
    expect(await page.locator("#status").textContent()).toMatch(/8 tokens with Custom/);
    expect(await figure(page, "b", "kv")).toBeLessThan((await figure(page, "a", "kv")) ?? 0);
    const row = page.locator("tr[data-policy=custom]");
    expect(Number(await row.getAttribute("data-bytes"))).toBe(await figure(page, "b", "kv"));
    const formats = await page.locator(".by-format[data-lane=b] li").evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset.format));
    expect(formats).toEqual(["k16v16", "ring", "tables and free space"]);

    await page.getByLabel("Budget", { exact: true }).selectOption("global");
    await page.getByLabel("Bits", { exact: true }).selectOption("rate-distortion");
    await screenshot(page, "demo-compose-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await screenshot(page, "demo-compose-dark");
    await page.setViewportSize({ width: 360, height: 740 });
    await expect.poll(() => page.evaluate(() => document.documentElement.scrollWidth)).toBe(360); // charts follow a frame later
    await page.getByRole("button", { name: "Only B again" }).click();
    await page.locator("#lane-b .error-card").waitFor();
    expect(await page.locator("#lane-b .error-code").textContent()).toBe("BAD_OPTION");
    expect(await page.locator("#lane-b .error-card p").first().textContent()).toMatch(/global.*evict-only, tiers, agacc/);
    await screenshot(page, "demo-compose-phone");
    expect(await problems()).toEqual([]);
  });
}, 90_000);

test("both panes can run together", async () => {
  await visit({}, async ({ page }) => {
    await untilReady(page);
    await setPrompt(page, essay.slice(0, 600), "text");
    await setNewTokens(page, 16);
    await page.locator("#policy").selectOption("uniform-8");
    await page.getByRole("radio", { name: "together" }).check();
    await page.locator("#run").click();
    expect(await untilEnded(page, "a", BOTH_PANES_MS)).toBe("done");
    expect(await untilEnded(page, "b", BOTH_PANES_MS)).toBe("done");
  });
});

test("a file that is no GGUF is refused by name, and the loaded model goes on working", async () => {
  await visit({ colorScheme: "dark" }, async ({ page }) => {
    await untilReady(page);
    await page
      .locator("input[type=file]")
      .setInputFiles({ name: "garbage.gguf", mimeType: "application/octet-stream", buffer: Buffer.alloc(4096, "lorem ipsum ") });
    const card = page.locator(".error-card");
    await card.waitFor();
    expect(await card.locator(".error-code").textContent()).toBe("NOT_GGUF");
    await screenshot(page, "demo-not-gguf");
    await card.getByRole("button", { name: "Dismiss" }).click();
    expect(await card.count()).toBe(0);
    await setPrompt(page, essay.slice(0, 200), "text");
    await setNewTokens(page, 4);
    await page.locator("#run").click();
    expect(await untilEnded(page, "a", BOTH_PANES_MS)).toBe("done");
  });
});

test("a file dropped on the window is opened like a chosen one", async () => {
  await visit({}, async ({ page }) => {
    await untilReady(page);
    const transfer = await page.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(["no model at all, only words"], "words.gguf"));
      return data;
    });
    await page.dispatchEvent("main", "dragover", { dataTransfer: transfer });
    await page.locator(".drop-target").waitFor();
    await page.dispatchEvent("main", "drop", { dataTransfer: transfer });
    await page.locator(".error-code").waitFor();
    expect(await page.locator(".error-code").textContent()).toBe("NOT_GGUF");
    expect(await page.locator(".drop-target").count()).toBe(0);
  });
});

test("a budget that is too small says so in the pane", async () => {
  await visit({}, async ({ page }) => {
    await untilReady(page);
    await setPrompt(page, essay.slice(0, 300), "text");
    await page.locator("#budget").fill("0");
    await page.locator("#run").click();
    expect(await untilEnded(page, "b", BOTH_PANES_MS)).toBe("failed");
    expect(await page.locator("#lane-b .error-code").textContent()).toBe("BUDGET_TOO_SMALL");
    expect(await page.locator("#lane-a").getAttribute("data-status")).toBe("done");
  });
});

test("without WebGPU the page says what is missing and stays readable", async () => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, "gpu"));
  const { page: probe, close } = await openPage(browser);
  const address = probe.url();
  await close();
  await page.goto(address);
  await page.getByRole("heading", { name: "This browser does not offer WebGPU" }).waitFor();
  expect(await page.locator(".report pre").textContent()).toContain("cause: no-webgpu");
  expect(await page.locator("#run").isDisabled()).toBe(true);
  expect((await page.locator("#prompt").inputValue()).length).toBeGreaterThan(100);
  await screenshot(page, "demo-no-webgpu");
  await context.close();
});
