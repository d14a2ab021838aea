// page: the built page in headless Chromium on SwiftShader, as a person uses it: seconds until the model is ready, and until both panes have
// answered. Each repetition is a fresh profile.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium } from "playwright";
import { chromiumLaunch, root } from "../../scripts/machine.mjs";
import { buildAndServe } from "../../scripts/serve.mjs";
import { readHeader } from "../../src/load/gguf";
import { fetchModel } from "../../src/node/fetch-model";
import { fileSource } from "../../src/node/file-source";
import { Tokenizer } from "../../src/text/tokenizer";
import { figure, setNewTokens, setPrompt, untilEnded, untilReady } from "../e2e/demo-page";
import { defineSection, median, table, target } from "./section";

interface Visit {
  readonly readySeconds: number;
  readonly bothPanesSeconds: number;
  readonly promptTokens: number;
  /** Per pane, as the page shows them. */
  readonly prefillMs: readonly (number | undefined)[];
  readonly decodeTokensPerSecond: readonly (number | undefined)[];
  readonly newTokens: readonly number[];
  readonly ended: readonly string[];
}

interface PageFigures {
  readonly browser: string;
  readonly model: string;
  readonly visits: readonly Visit[];
}

const PROMPT_TOKENS = 512;
const NEW_TOKENS = 64;
const READY_SECONDS = 20;
const BOTH_SECONDS = 90;
/** How long is waited at most, so that a missed target gets a figure too. */
const PATIENCE_MS = 600_000;
const PANES = ["a", "b"] as const;

export const page = defineSection<PageFigures>({
  name: "page",
  title: `the built page in headless Chromium, tiny model, ${PROMPT_TOKENS}-token prompt, ${NEW_TOKENS} new tokens in both panes`,
  async run({ runs, say, keep }) {
    const text = await promptText(readFileSync(join(root, "demo/samples/essay.txt"), "utf8"));
    const site = await buildAndServe({ port: 0, outDir: join(root, "test-results/bench-site") });
    const browser = await chromium.launch(chromiumLaunch());
    try {
      const visits: Visit[] = [];
      for (let index = 0; index < runs; index++) {
        const visit = await measure(browser, site.address, text);
        visits.push(visit);
        say(
          `  ready after ${visit.readySeconds.toFixed(1)} s, both panes after ${visit.bothPanesSeconds.toFixed(1)} s (${visit.newTokens.join(" and ")} tokens)`,
        );
        keep({ browser: `Chromium ${browser.version()}`, model: "tiny", visits }, `Chromium ${browser.version()} on SwiftShader`);
      }
    } finally {
      await browser.close();
      await site.close();
    }
  },
  describe({ browser, visits }) {
    const rows = visits.map((visit, index) => [
      `visit ${index + 1}`,
      visit.readySeconds.toFixed(1),
      visit.bothPanesSeconds.toFixed(1),
      String(visit.promptTokens),
      visit.newTokens.join(" + "),
      visit.prefillMs.map((ms) => (ms === undefined ? "-" : (ms / 1000).toFixed(1))).join(" + "),
      visit.decodeTokensPerSecond.map((rate) => (rate === undefined ? "-" : rate.toFixed(1))).join(", "),
    ]);
    return [
      table([browser, "ready s", "both panes s", "prompt", "new tokens", "prefill s", "decode tokens/s"], rows),
      target("median seconds until the page is ready", median(visits.map(({ readySeconds }) => readySeconds)), READY_SECONDS, "at most", " s"),
      target("median seconds until both panes have finished", median(visits.map(({ bothPanesSeconds }) => bothPanesSeconds)), BOTH_SECONDS, "at most", " s"),
    ].join("\n");
  },
});

async function measure(browser: Browser, address: string, text: string): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  try {
    const tab = await context.newPage();
    const opened = performance.now();
    await tab.goto(address);
    await untilReady(tab, PATIENCE_MS);
    const readySeconds = (performance.now() - opened) / 1000;
    const promptTokens = await setPrompt(tab, text, "text");
    await setNewTokens(tab, NEW_TOKENS);
    const started = performance.now();
    await tab.locator("#run").click();
    const ended: string[] = [];
    for (const pane of PANES) ended.push(await untilEnded(tab, pane, PATIENCE_MS));
    const bothPanesSeconds = (performance.now() - started) / 1000;
    if (ended.some((status) => status !== "done"))
      throw new Error(`A pane ended as ${ended.join(" and ")}: ${await tab.locator(".error-card").allTextContents()}`);
    return {
      readySeconds,
      bothPanesSeconds,
      promptTokens,
      ended,
      newTokens: await Promise.all(PANES.map((pane) => tab.locator(`#text-${pane} > span`).count())),
      prefillMs: await Promise.all(PANES.map((pane) => figure(tab, pane, "prefill"))),
      decodeTokensPerSecond: await Promise.all(PANES.map((pane) => figure(tab, pane, "speed"))),
    };
  } finally {
    await context.close();
  }
}

/** The shortest start of the text, repeated if need be, that has at least the prompt's tokens. */
async function promptText(text: string): Promise<string> {
  const source = await fileSource(await fetchModel("tiny"));
  try {
    const tokenizer = new Tokenizer((await readHeader(source)).tokenizer);
    const endless = `${text.trim()} `.repeat(8);
    for (let letters = PROMPT_TOKENS; letters < endless.length; letters++) {
      const start = endless.slice(0, letters);
      if (tokenizer.encodePrompt(start).length >= PROMPT_TOKENS) return start;
    }
  } finally {
    await source.close?.();
  }
  throw new Error(`The text is too short for ${PROMPT_TOKENS} tokens.`);
}
