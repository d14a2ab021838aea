// broken: ways to break what the page stands on, from outside and in earnest: files, connections, storage, the adapter, the device.
// Leaves to others: what the page must make of it (errors.test.ts).

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import type { BrowserContext, Locator, Page, Worker } from "playwright";
import { inject } from "vitest";
import { readHeader } from "../../src/load/gguf";
import { sourceOf } from "../unit/load/make-gguf";

/** The bundled model, as a request for it ends. */
export const TINY = "/models/tiny/tiny-q8_0.gguf";

export async function tinyBytes(): Promise<Buffer<ArrayBuffer>> {
  return (await readFile(fileURLToPath(new URL(`../..${TINY}`, import.meta.url)))) as Buffer<ArrayBuffer>;
}

/** A sound file whose last norm multiplies with NaN: everything loads, every logit is NaN. */
export async function nanModel(): Promise<Buffer> {
  const bytes = await tinyBytes();
  const norm = (await readHeader(sourceOf(new Uint8Array(bytes)))).tensors.get("output_norm.weight");
  if (norm?.type !== "F32") throw new Error("The tiny model's output_norm.weight was expected in F32.");
  for (let at = 0; at < norm.bytes; at += 4) bytes.writeFloatLE(Number.NaN, norm.offset + at);
  return bytes;
}

/** Runs `code` at the start of every worker opened from now on, before the engine's own. Undone by context.unrouteAll(). */
export async function spoilWorkers(context: BrowserContext, code: () => void): Promise<void> {
  await context.route(/engine-worker[^/]*\.js$/, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `(${code})();\n${await response.text()}` });
  });
}

export interface FlakySite {
  readonly address: string;
  /** The Range header of every request for the model, "" where there was none. */
  readonly ranges: readonly string[];
  /** While true, the model's connection breaks off once half of the file was sent, and later ones at once. */
  broken: boolean;
  close(): void;
}

/** The site behind a server whose connections break. */
export async function flakySite(): Promise<FlakySite> {
  const ranges: string[] = [];
  const server = createServer(async (request, response) => {
    const isModel = request.url === TINY;
    const range = request.headers.range;
    if (isModel) ranges.push(range ?? "");
    if (isModel && site.broken && range !== undefined) return void response.destroy();
    const answer = await fetch(new URL(request.url ?? "/", inject("address")), range === undefined ? {} : { headers: { range } });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    for (const name of ["content-type", "content-range"]) if (answer.headers.has(name)) response.setHeader(name, answer.headers.get(name) ?? "");
    response.setHeader("content-length", bytes.length);
    response.writeHead(answer.status);
    if (isModel && site.broken) response.write(bytes.subarray(0, bytes.length / 2), () => setTimeout(() => response.destroy(), 200));
    else response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const bound = server.address();
  if (!bound || typeof bound === "string") throw new Error("The flaky site has no port.");
  const site = { address: `http://localhost:${bound.port}/`, ranges, broken: true, close: () => void server.close() };
  return site;
}

/** The worker that holds the page's engine. */
export function engineWorker(page: Page): Worker {
  const [worker, ...others] = page.workers();
  if (!worker || others.length > 0) throw new Error(`One worker was expected, ${page.workers().length} are there.`);
  return worker;
}

/** What happens to the device a moment after it is used next, in the middle of a run. The error of a full memory is told by hand: the driver here never runs out. */
export async function whileRunning(page: Page, mishap: "lost device" | "out of memory"): Promise<void> {
  await engineWorker(page).evaluate((what) => {
    const { createCommandEncoder } = GPUDevice.prototype;
    GPUDevice.prototype.createCommandEncoder = function (this: GPUDevice, ...options) {
      GPUDevice.prototype.createCommandEncoder = createCommandEncoder;
      const error = new GPUOutOfMemoryError("Not enough memory left.");
      const happen = (): unknown => (what === "lost device" ? this.destroy() : this.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error })));
      setTimeout(happen, 100);
      return createCommandEncoder.apply(this, options);
    };
  }, mishap);
}

/** How a text stands on the screen: whether its middle is covered, whether all of it fits, and its contrast (WCAG 2.2). */
export async function look(text: Locator): Promise<{ uncovered: boolean; fits: boolean; contrast: number }> {
  return text.evaluate((element) => {
    const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const luminance = (colour: string): number => {
      if (!pen) return Number.NaN;
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [r = 0, g = 0, b = 0] = [...pen.getImageData(0, 0, 1, 1).data].map((byte) => (byte <= 10 ? byte / 3294.6 : ((byte / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const backed = element.closest(".error-card") ?? element;
    const [dark = 0, light = 0] = [luminance(getComputedStyle(element).color), luminance(getComputedStyle(backed).backgroundColor)].sort((a, b) => a - b);
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const inside = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return {
      uncovered: inside !== null && element.contains(inside),
      fits: element.scrollWidth <= element.clientWidth || element.clientWidth === 0,
      contrast: (light + 0.05) / (dark + 0.05),
    };
  });
}
