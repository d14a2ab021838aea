// demo-page: the page as a person uses it, in the words of the tests. Reads figures from the attributes that carry the raw numbers.

import type { Page } from "playwright";

/** Until the tiny model, which loads by itself on a software adapter, is ready. */
export async function untilReady(page: Page, timeout = 60_000): Promise<void> {
  await page.locator("[data-state=ready]").waitFor({ timeout });
}

/** Types a prompt and waits until the page has counted its tokens. */
export async function setPrompt(page: Page, text: string, form: "message" | "text"): Promise<number> {
  await page.getByLabel("Send as").selectOption(form);
  await page.locator("#prompt").fill(text);
  await page.locator("#token-count[aria-busy=false][data-tokens]").waitFor();
  return Number(await page.locator("#token-count").getAttribute("data-tokens"));
}

export async function setNewTokens(page: Page, count: number): Promise<void> {
  const field = page.getByLabel("New tokens");
  await field.fill(String(count));
  await field.press("Tab");
}

/** Until a pane's run has ended, in whatever way; returns how. */
export async function untilEnded(page: Page, pane: "a" | "b", timeout: number): Promise<string> {
  await page.locator(`#lane-${pane}:is([data-status=done], [data-status=stopped], [data-status=failed])`).waitFor({ timeout });
  return (await page.locator(`#lane-${pane}`).getAttribute("data-status")) ?? "";
}

export async function untilDriftDone(page: Page, timeout: number): Promise<void> {
  await page.locator(".drift:not([data-status=running])").waitFor({ timeout });
}

type FigureName = "kv" | "ratio" | "speed" | "read" | "prefill" | "hot" | "recalled" | "cold" | "gone" | "cold-bytes" | "cold-file";

/** A figure's raw number, undefined while it shows dots. */
export async function figure(page: Page, pane: "a" | "b", name: FigureName): Promise<number | undefined> {
  const raw = await page.locator(`#lane-${pane} [data-figure=${name}]`).getAttribute("data-value");
  return raw === null ? undefined : Number(raw);
}

export async function answer(page: Page, pane: "a" | "b"): Promise<string> {
  return (await page.locator(`#text-${pane} > span`).allTextContents()).join("").trim();
}

export interface DriftFigures {
  readonly same: number;
  readonly count: number;
  readonly meanKl: number;
  readonly cells: number;
}

export async function drift(page: Page): Promise<DriftFigures> {
  const summary = page.locator(".drift .summary");
  const read = async (name: string): Promise<number> => Number(await summary.getAttribute(`data-${name}`));
  return { same: await read("same"), count: await read("count"), meanKl: await read("mean-kl"), cells: await page.locator(".strip .cell").count() };
}

/** How many different colours the map's canvas shows, and how much of it is painted: a blank canvas has one and none. */
export async function mapPixels(page: Page): Promise<{ colours: number; painted: number }> {
  return page.locator(".map-surface canvas").evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const { data } = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: new Uint8ClampedArray() };
    const words = new Uint32Array(data.buffer);
    const painted = words.reduce((count, word) => count + (word >>> 24 === 255 ? 1 : 0), 0);
    return { colours: new Set(words).size, painted: painted / words.length };
  });
}

/** Pixels of the map's canvas in the colour of what was brought back, as the theme in force has it. */
export async function recalledPixels(page: Page): Promise<number> {
  return page.locator(".map-surface canvas").evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const swatch = canvas.parentElement?.querySelector("[data-bits=recalled]");
    const wanted = (/\d+(, \d+){2}/.exec(swatch ? getComputedStyle(swatch).backgroundColor : "")?.[0] ?? "").split(", ").map(Number);
    const { data } = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: new Uint8ClampedArray() };
    let count = 0;
    for (let i = 0; i < data.length; i += 4) if (wanted.every((channel, c) => data[i + c] === channel) && data[i + 3] === 255) count++;
    return count;
  });
}
