// browser: the harness of the browser tests: this machine's Chromium on SwiftShader, pages that collect what went wrong, screenshots.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright";
import { inject } from "vitest";
import { chromiumLaunch } from "../../scripts/machine.mjs";

export interface OpenPage {
  readonly page: Page;
  /** Uncaught errors, errors on the console, failed requests: a test that expects none compares with []. */
  readonly problems: string[];
  close(): Promise<void>;
}

/** Launches Chromium with WebGPU on SwiftShader. Close it after the tests. @param flags more flags, or instead of the usual ones */
export async function openBrowser(flags?: { readonly add?: readonly string[]; readonly instead?: readonly string[] }): Promise<Browser> {
  const launch = chromiumLaunch();
  return chromium.launch({ ...launch, args: [...(flags?.instead ?? launch.args), ...(flags?.add ?? [])] });
}

/** Opens the built page in a fresh profile. @param path below the site's root, query included */
export async function openPage(browser: Browser, path = "", options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(`console: ${message.text()}`);
  });
  page.on("requestfailed", (request) => problems.push(`request: ${request.url()} ${request.failure()?.errorText ?? ""}`));
  page.on("response", (response) => {
    if (response.status() >= 400) problems.push(`response: ${response.status()} ${response.url()}`);
  });
  await page.goto(new URL(path, inject("address")).href);
  return { page, problems, close: () => context.close() };
}

/** Saves what the page shows to test-results/screenshots/NAME.png. */
export async function screenshot(page: Page, name: string, fullPage = true): Promise<void> {
  const folder = join(fileURLToPath(new URL("../..", import.meta.url)), "test-results/screenshots");
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage, animations: "disabled" });
}
