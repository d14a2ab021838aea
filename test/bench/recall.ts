// recall: does what was dropped come back? Documents with six facts are compressed until most facts are gone; then each fact is asked for in a turn of its own,
// in one conversation, without the cold tier, with it, and with the full cache.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/machine.mjs";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { CacheOptions, ColdOptions } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import { type BenchModel, openBenchModel } from "./bench-model";
import { defineSection, mean, percent, table, target } from "./section";

interface Fact {
  readonly question: readonly number[];
  readonly answer: readonly number[];
}

interface GoldenDocument {
  readonly prompt: readonly number[];
  readonly facts: readonly Fact[];
}

interface Row {
  readonly name: string;
  readonly options: CacheOptions;
  readonly asked: number;
  readonly right: number;
  /** Of the GPU, over the 16-bit cache, and outside it in bytes: means over documents. */
  readonly share: number;
  readonly coldBytes: number;
  /** Of a token of question or answer, wall time. */
  readonly msPerToken: number;
}

interface RecallFigures {
  readonly documents: number;
  /** Number of the first. */
  readonly from: number;
  readonly rows: readonly Row[];
}

/** Where lacuna alone finds less than half of what the full cache does (documents 17 to 40: .48 of it). */
const LEAST = 0.0187;
const MORE = 0.025;
const EVICT = 0.125;

const evictOnly: CacheOptions = { policy: "expected-attention", budget: { ratio: EVICT } };
const lacuna = (ratio: number): CacheOptions => ({ policy: "lacuna", budget: { ratio } });
const cold = (recall: NonNullable<ColdOptions["recall"]>): Pick<CacheOptions, "cold"> => ({ cold: { maxBytes: 4 << 20, recall } });

const CASES: readonly { readonly name: string; readonly options: CacheOptions }[] = [
  { name: "full", options: { policy: "full" } },
  { name: "lacuna at 1.9 %", options: lacuna(LEAST) },
  { name: "lacuna at 1.9 %, cold tier, 16 guests", options: { ...lacuna(LEAST), ...cold({ guests: 16, bits: 4 }) } },
  { name: "lacuna at 2.5 %", options: lacuna(MORE) },
  { name: "lacuna at 2.5 %, cold tier, 24 guests", options: { ...lacuna(MORE), ...cold({ guests: 24, bits: 4 }) } },
  { name: "evict only", options: evictOnly },
  { name: "evict only, cold tier, 80 guests", options: { ...evictOnly, ...cold({ guests: 80 }) } },
];

/** <|user|>, which begins a turn after the first. */
const USER = 1;

export const recall = defineSection<RecallFigures>({
  name: "recall",
  title: "tiny model, six facts asked for in turns of their own, with and without what was evicted kept outside the GPU",
  async run({ documents: count, from, say, keep }) {
    const all = JSON.parse(readFileSync(join(root, "test/golden/tiny-documents.json"), "utf8")) as GoldenDocument[];
    const model = await openBenchModel("tiny", say);
    try {
      const rows: Row[][] = [];
      for (const document of all.slice(from - 1, from - 1 + count)) {
        const asked = await askAll(model, document);
        rows.push(asked);
        say(`  document ${rows.length} of ${count}: ${asked.map(({ name, right }) => `${name} ${right}`).join(", ")}`);
        keep({ documents: rows.length, from, rows: CASES.map((_, index) => sum(rows.map((row) => row[index] as Row))) }, model.gpu.description);
      }
    } finally {
      model.dispose();
    }
  },
  describe({ documents, from, rows }) {
    const lines = rows.map(({ name, right, asked, share, coldBytes, msPerToken }) => [
      name,
      percent(share),
      coldBytes > 0 ? `${(coldBytes / 1e6).toFixed(2)} MB` : "",
      `${right} of ${asked}`,
      msPerToken.toFixed(1),
    ]);
    const right = (name: string): number => rows.find((row) => row.name === name)?.right ?? Number.NaN;
    const half = (name: string): string => target(`${name}: right answers against half of the full cache's`, right(name), 0.5 * right("full"), "at most");
    const most = (name: string): string => target(`${name}: right answers against the full cache's`, right(name), 0.85 * right("full"), "at least");
    return [
      table(["cache", "bytes", "outside", "right", "ms a token"], lines),
      `  ${documents} documents from number ${from} on. Evict only: expected attention. lacuna's guests have 4 bits, the others 8.`,
      half("lacuna at 1.9 %"),
      most("lacuna at 1.9 %, cold tier, 16 guests"),
      most("lacuna at 2.5 %, cold tier, 24 guests"),
      half("evict only"),
      most("evict only, cold tier, 80 guests"),
    ].join("\n");
  },
});

/** One pass over the document for all caches; then a conversation with each. */
async function askAll({ gpu, transformer }: BenchModel, { prompt, facts }: GoldenDocument): Promise<Row[]> {
  const tokens = prompt.length + facts.reduce((total, { question, answer }) => total + question.length + answer.length + 1, 0);
  const sides = CASES.map(({ options }) => {
    const sequence = new Sequence(transformer, options, tokens, prompt.length);
    return { sequence, decoder: new Decoder(transformer, sequence.cache, resolveSampling({}), []) };
  });
  try {
    await gpu.kernels.ready();
    const targets = sides.map(({ sequence }) => sequence.target());
    await prefill(transformer, prompt, targets, { step: {}, record: () => {} });
    const rows: Row[] = [];
    for (const [index, { sequence, decoder }] of sides.entries()) {
      const started = performance.now();
      let right = 0;
      for (const [turn, fact] of facts.entries()) right += (await ask(gpu.idle.bind(gpu), sequence, decoder, fact, turn)) ? 1 : 0;
      rows.push({
        ...(CASES[index] as (typeof CASES)[number]),
        asked: facts.length,
        right,
        share: sequence.cache.bytes / (tokens * fullBytesPerToken(transformer.config)),
        coldBytes: sequence.cold?.store.bytes ?? 0,
        msPerToken: (performance.now() - started) / (tokens - prompt.length),
      });
    }
    return rows;
  } finally {
    for (const { sequence, decoder } of sides) {
      decoder.dispose();
      sequence.dispose();
    }
  }
}

/** Feeds a question as a session does, then the true answer: right if each of its tokens was the cache's first choice, as greedy decoding would have written. */
async function ask(idle: () => Promise<void>, sequence: Sequence, decoder: Decoder, { question, answer }: Fact, turn: number): Promise<boolean> {
  const input = [...(turn > 0 ? [USER] : []), ...question];
  for (const [index, id] of input.slice(0, -1).entries()) {
    decoder.force(id);
    if (index % 2 === 1) await idle();
  }
  if (sequence.cold?.settings.settle) await sequence.cold.settle();
  let right = true;
  let last = input.at(-1) ?? 0;
  for (const id of answer) {
    decoder.force(last, true);
    right = (await decoder.take()).id === id && right;
    last = id;
  }
  decoder.force(last);
  return right;
}

function sum(rows: readonly Row[]): Row {
  return {
    ...(rows[0] as Row),
    asked: rows.reduce((total, { asked }) => total + asked, 0),
    right: rows.reduce((total, { right }) => total + right, 0),
    share: mean(rows.map(({ share }) => share)),
    coldBytes: mean(rows.map(({ coldBytes }) => coldBytes)),
    msPerToken: mean(rows.map(({ msPerToken }) => msPerToken)),
  };
}
