// site: what the page's host must give before any of it can work: the page, an adapter, and models by byte ranges.

import type { Browser } from "playwright";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { openBrowser, openPage } from "./browser";

const TINY = "models/tiny/tiny-q8_0.gguf";
let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser();
});

afterAll(() => browser?.close());

test("the page is a secure context with a GPU adapter", async () => {
  const { page, close } = await openPage(browser);
  const found = await page.evaluate(async () => ({
    title: document.title,
    secure: isSecureContext,
    adapter: (await navigator.gpu?.requestAdapter())?.info.architecture,
  }));
  await close();
  expect(found).toEqual({ title: expect.stringContaining("Lacuna"), secure: true, adapter: "swiftshader" });
});

test("a part of the bundled model can be asked for, and begins as a GGUF", async () => {
  const response = await fetch(new URL(TINY, inject("address")), { headers: { range: "bytes=0-3" } });
  expect(response.status).toBe(206);
  expect(response.headers.get("content-range")).toMatch(/^bytes 0-3\/\d{7,}$/);
  expect(await response.text()).toBe("GGUF");
});

test("a model that is not there is a 404, not the page again", async () => {
  for (const path of ["models/none.gguf", "models/none.json"]) expect((await fetch(new URL(path, inject("address")))).status).toBe(404);
});

test("only models are served from models/, not scripts, and nothing above it", async () => {
  for (const path of ["models/tiny/convert.py", "models/..%2fpackage.json", "models/%2e%2e/package.json"]) {
    const response = await fetch(new URL(path, inject("address")));
    expect(await response.text(), path).not.toMatch(/import |"lacuna"/);
  }
});
