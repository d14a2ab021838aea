// browser: the harness of the browser tests: this machine's Chromium on SwiftShader, pages that collect what went wrong, screenshots.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright";
import { inject } from "vitest";
import { chromiumLaunch } from "../../scripts/machine.mjs";

export interface OpenPage {
  readonly page: Page;
  /** Uncaught errors, errors on the console, failed requests: a test that expects none compares with []. */
  problems(): Promise<string[]>;
  close(): Promise<void>;
}

/** Launches Chromium with WebGPU on SwiftShader. Close it after the tests. @param flags more flags, or instead of the usual ones */
export async function openBrowser(flags?: { readonly add?: readonly string[]; readonly instead?: readonly string[] }): Promise<Browser> {
  const launch = chromiumLaunch();
  return chromium.launch({ ...launch, args: [...(flags?.instead ?? launch.args), ...(flags?.add ?? [])] });
}

/** Longest wait for anything that has no limit of its own: a slow machine is no fault of the page. */
export const PATIENCE_MS = 60_000;

/**
 * Opens the built page in a fresh profile.
 * @param path below the site's root, query included, or a whole address
 * @param prepare runs before the page is asked for
 */
export async function openPage(
  browser: Browser,
  path = "",
  options: BrowserContextOptions = {},
  prepare?: (page: Page, context: BrowserContext) => Promise<void>,
): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = watch(page);
  await prepare?.(page, context);
  await page.goto(new URL(path, inject("address")).href);
  return { page, problems, close: () => context.close() };
}

/** Collects what goes wrong in a page from now on. */
function watch(page: Page): () => Promise<string[]> {
  const problems: string[] = [];
  const asked = new Map<string, number>();
  const cancelled = new Map<string, string>();
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => asked.set(request.url(), (asked.get(request.url()) ?? 0) + 1));
  page.on("requestfailed", (request) => {
    const problem = `request: ${request.url()} ${request.failure()?.errorText ?? ""}`;
    if (request.failure()?.errorText === "net::ERR_ABORTED" && request.url().endsWith(".gguf")) cancelled.set(request.url(), problem);
    else problems.push(problem);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) problems.push(`response: ${response.status()} ${response.url()}`);
  });
  // Chromium (seen in 156) reports a fetch as cancelled although its reader was told `done` after the last byte, whenever the whole body was there before the
  // page had read it to its end: a worker that fetches, waits 100 ms and then reads gets that report every time, a busy machine now and then. Nothing the
  // page does avoids it short of not streaming. What tells it from a loss: a model that is ready had its hash checked, so if it was asked for once, that
  // one request brought all of it.
  return async () => {
    const ready = (await page.locator("[data-state=ready]").count()) > 0;
    const lost = [...cancelled].filter(([url]) => !ready || asked.get(url) !== 1).map(([, problem]) => problem);
    return [...problems, ...lost];
  };
}

/** Saves what the page shows to test-results/screenshots/NAME.png. */
export async function screenshot(page: Page, name: string, fullPage = true): Promise<void> {
  const folder = join(fileURLToPath(new URL("../..", import.meta.url)), "test-results/screenshots");
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage, animations: "disabled" });
}
