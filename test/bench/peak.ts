// peak: the most GPU bytes that are live while a long prompt is compressed, buffer by buffer, and whether anything but the cache, one layer's
// keys and values, and the hidden states grows with the prompt.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/machine.mjs";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import { resolveSampling } from "../../src/generate/sampling-options";
import type { BufferRole } from "../../src/gpu/ledger";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import { type BenchModel, openBenchModel } from "./bench-model";
import { defineSection, percent, table, target } from "./section";

interface PeakGroup {
  readonly role: BufferRole;
  readonly label: string;
  readonly bytes: number;
}

interface PeakRow {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly peakBytes: number;
  readonly weightBytes: number;
  readonly cacheBytes: number;
  /** The 16-bit cache for all tokens. */
  readonly fullBytes: number;
  /** f16 keys and values of the prompt in one layer. */
  readonly layerBytes: number;
  readonly hiddenBytes: number;
  /** Every buffer that was live at the peak, weights summed up. */
  readonly groups: readonly PeakGroup[];
}

interface PeakFigures {
  readonly model: string;
  readonly policy: string;
  readonly ratio: number;
  readonly rows: readonly PeakRow[];
}

const RATIO = 0.1;
const PROMPTS = [1024, 2048] as const;
const NEW_TOKENS = 16;
/** Layers of f16 keys and values that a prompt may have standing beside the compressed cache. */
const LAYERS_ALLOWED = 1.25;

export const peak = defineSection<PeakFigures>({
  name: "peak",
  title: `SmolLM2-135M, rate-distortion at ${percent(RATIO, 0)}: most GPU bytes live during a prompt`,
  async run({ say, keep }) {
    const contexts = JSON.parse(readFileSync(join(root, "test/golden/smollm2-contexts.json"), "utf8")) as { readonly ids: readonly number[] }[];
    const words = contexts.flatMap(({ ids }) => ids);
    const model = await openBenchModel("smollm2-135m", say);
    try {
      const rows: PeakRow[] = [];
      for (const tokens of PROMPTS) {
        rows.push(await measure(model, words.slice(0, tokens), say));
        keep({ model: model.name, policy: "rate-distortion", ratio: RATIO, rows }, model.gpu.description);
      }
    } finally {
      model.dispose();
    }
  },
  describe: describePeak,
});

/** A whole request: prompt, compression, and tokens that follow. */
async function measure({ gpu, transformer }: BenchModel, ids: readonly number[], say: (line: string) => void): Promise<PeakRow> {
  const { config } = transformer;
  const tokens = ids.length + NEW_TOKENS;
  const started = performance.now();
  gpu.ledger.resetPeak();
  const sequence = new Sequence(transformer, { policy: "rate-distortion", budget: { ratio: RATIO } }, tokens);
  const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), ids);
  try {
    await prefill(transformer, ids, [sequence.target()], decoder.first());
    await decoder.take();
    for (let index = 1; index < NEW_TOKENS; index++) {
      decoder.step();
      await decoder.take();
    }
    const peakBytes = gpu.ledger.peak;
    const entries = gpu.ledger.atPeak;
    const byLabel = new Map<string, PeakGroup>();
    for (const { role, label, bytes } of entries) {
      // Owners that are numbered (Sequence12.sums) are one group; so are all weights.
      const name = role === "weights" ? "all weights" : label.replace(/(?<=[a-z])\d+/gi, "");
      const key = `${role} ${name}`;
      byLabel.set(key, { role, label: name, bytes: (byLabel.get(key)?.bytes ?? 0) + bytes });
    }
    const groups = [...byLabel.values()].sort((a, b) => b.bytes - a.bytes);
    say(`  ${ids.length} tokens: peak ${megabytes(peakBytes)} MB, ${((performance.now() - started) / 1000).toFixed(0)} s`);
    return {
      promptTokens: ids.length,
      newTokens: NEW_TOKENS,
      peakBytes,
      weightBytes: gpu.ledger.bytes({ role: "weights" }),
      cacheBytes: sequence.cache.bytes,
      fullBytes: tokens * fullBytesPerToken(config),
      layerBytes: (ids.length * fullBytesPerToken(config)) / config.layers,
      hiddenBytes: ids.length * config.hidden * 4,
      groups,
    };
  } finally {
    decoder.dispose();
    sequence.dispose();
  }
}

/** What is left of the peak after all that may grow with the prompt: the scratch. */
function scratch({ peakBytes, weightBytes, cacheBytes, layerBytes, hiddenBytes }: PeakRow): number {
  return peakBytes - weightBytes - cacheBytes - LAYERS_ALLOWED * layerBytes - hiddenBytes;
}

function describePeak({ rows }: PeakFigures): string {
  const columns = rows.map((row) => `${row.promptTokens} tokens`);
  const parts: readonly (readonly [string, (row: PeakRow) => number])[] = [
    ["peak", (row) => row.peakBytes],
    ["= weights", (row) => row.weightBytes],
    ["+ compressed cache", (row) => row.cacheBytes],
    [`+ ${LAYERS_ALLOWED} layers of f16 keys and values`, (row) => LAYERS_ALLOWED * row.layerBytes],
    ["+ hidden states", (row) => row.hiddenBytes],
    ["+ the rest: scratch", scratch],
    ["(the 16-bit cache would be)", (row) => row.fullBytes],
  ];
  const labels = [...new Set(rows.flatMap(({ groups }) => groups.map(({ role, label }) => `${role}: ${label}`)))];
  const bytesOf = (row: PeakRow, name: string): number => row.groups.find(({ role, label }) => `${role}: ${label}` === name)?.bytes ?? 0;
  const growth = (name: string): number => (rows.length < 2 ? 0 : bytesOf(rows[1]!, name) - bytesOf(rows[0]!, name));
  const [short, long] = rows;
  return [
    table(
      ["MB", ...columns],
      parts.map(([name, bytes]) => [name, ...rows.map((row) => megabytes(bytes(row)))]),
    ),
    "",
    table(
      ["live at the peak, bytes", ...columns, "growth"],
      labels.map((name) => [name, ...rows.map((row) => bytesOf(row, name).toLocaleString("en")), growth(name) === 0 ? "" : growth(name).toLocaleString("en")]),
    ),
    ...(short && long ? [target("scratch beside it all, 2,048 tokens against 1,024", scratch(long), scratch(short), "at most", " bytes")] : []),
  ].join("\n");
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(3);
}
