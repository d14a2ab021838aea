// cold-run: the bundled model on a cache with a cold tier, fed token by token, and the check that every slot is in one place.

import { expect } from "vitest";
import type { KvCache } from "../../src/cache/kv-cache";
import type { ColdTier } from "../../src/cold/cold-tier";
import type { CacheOptions, ColdOptions } from "../../src/engine-types";
import { resolveSampling } from "../../src/generate/sampling-options";
import type { Gpu } from "../../src/gpu/device";
import { loadModel } from "../../src/load/load-model";
import { Decoder } from "../../src/model/decoder";
import { prefill } from "../../src/model/prefill";
import { Sequence } from "../../src/model/sequence";
import { Transformer } from "../../src/model/transformer";
import { fileSource } from "../../src/node/file-source";
import { checkPages, readWords, ringStartOf, slotFormats } from "../kernels/cache-checks";
import { fromHalf, recodeGuest } from "../reference/codec";
import { type GuestRow, guestRows } from "../reference/page-table";
import { seeded } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { TINY } from "./tiny-engine";

export const PROMPT = 200;
export const POLICY = { score: { kind: "expected-attention" }, budget: { kind: "ada" }, precision: { kind: "evict-only" } } as const;

/** The bundled model for contexts of so many tokens. */
export async function loadTiny(gpu: Gpu, tokens: number): Promise<Transformer> {
  const source = await fileSource(TINY);
  const { config, weights } = await loadModel(gpu, source);
  await source.close?.();
  return new Transformer(gpu, config, weights, tokens);
}

export interface Run {
  readonly transformer: Transformer;
  readonly sequence: Sequence;
  readonly cold: ColdTier;
  readonly decoder: Decoder;
  /** Feeds so many random tokens. */
  feed(count: number, paced?: boolean): Promise<void>;
  end(): void;
}

/** A prompt in a compressed cache with a cold tier. Random ids make sharp attention to tokens of the same id: recalls are many. */
export async function startRun(
  transformer: Transformer,
  cold: ColdOptions,
  { tokens = 600, prompt = PROMPT, ratio = 0.2, policy = POLICY as CacheOptions["policy"] } = {},
): Promise<Run> {
  const { gpu } = transformer;
  const sequence = new Sequence(transformer, { ...(policy && { policy }), budget: { ratio }, cold }, tokens, prompt);
  const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
  const random = seeded(5);
  const id = (): number => 300 + Math.floor(random() * 200);
  if (!sequence.cold) throw new Error("no cold tier");
  await gpu.kernels.ready();
  await prefill(transformer, Array.from({ length: prompt }, id), [sequence.target()], { step: {}, record: () => {} });
  return {
    transformer,
    sequence,
    cold: sequence.cold,
    decoder,
    feed: async (count, paced = true) => {
      for (let i = 0; i < count; i++) {
        decoder.force(id());
        if (paced && i % 2 === 1) await gpu.idle();
      }
    },
    end: () => {
      decoder.dispose();
      sequence.dispose();
    },
  };
}

/** Guests by layer and head, by position, read back. */
export async function guestsOf({ transformer: { gpu }, sequence: { cache } }: Run): Promise<Map<number, GuestRow>[][]> {
  const { plan } = cache;
  const tables = new Uint32Array(await gpu.read(cache.buffers.tables));
  return Array.from({ length: plan.shape.layers }, (_, layer) =>
    Array.from({ length: plan.shape.kvHeads }, (_, head) => {
      const rows = new Map<number, GuestRow>();
      for (const row of guestRows({ plan, tables }, layer, head)) {
        if (!row) continue;
        if (rows.has(row.position)) expect.fail(`position ${row.position} is a guest twice`);
        rows.set(row.position, row);
      }
      return rows;
    }),
  );
}

/** Key and value of a slot as the store gives it back, f16 pairs, in a guest's bits. */
function twinOf(words: Uint32Array | undefined, row: GuestRow, bits: 8 | 4): number[] {
  const values = Array.from(words ?? []).flatMap((word) => [fromHalf(word & 0xffff), fromHalf(word >>> 16)]);
  const D = values.length / 2;
  return [...recodeGuest(values.slice(0, D), bits, row.coded[0]), ...recodeGuest(values.slice(D), bits, row.coded[1])];
}

/** Every slot in one place, both limits, pages in order, guests as they were kept; returns the counts. */
export async function checkAll(run: Run) {
  const {
    sequence,
    cold,
    transformer: { gpu },
  } = run;
  await cold.settle();
  const { cache } = sequence;
  const words = await readWords(gpu, cache);
  checkPages(words);
  const pages = slotFormats(words);
  const guests = await guestsOf(run);
  const { sinks } = cache.policy;
  const found = { hot: 0, cold: 0, gone: 0, recalled: 0 };
  for (const [layer, heads] of pages.entries())
    for (const [head, slots] of heads.entries()) {
      const rows = guests[layer]?.[head] ?? new Map<number, GuestRow>();
      for (let position = 0; position < cache.tokens; position++) {
        const row = rows.get(position);
        const isGuest = row?.waits === false;
        const places = [position < sinks || position >= ringStartOf(words, layer), slots.has(position), isGuest].filter(Boolean).length;
        if (places > 1) expect.fail(`position ${position} of layer ${layer}, head ${head} is in ${places} places`);
        if (row?.waits && !isDemoted(cache, slots.get(position))) expect.fail(`position ${position} of layer ${layer}, head ${head}: nothing to wait for`);
        if (isGuest) found.recalled++;
        if (places === 1) found.hot++;
        else if (cold.store.has(position)) found.cold++;
        else found.gone++;
      }
      for (const [position, row] of rows)
        expectClose([...row.key, ...row.value], twinOf(cold.store.restore(layer, head, position), row, cache.plan.extras.guestBits), tolerances.f64);
    }
  const counts = await cold.counts();
  expect(counts).toEqual(found);
  expect(counts.hot + counts.cold + counts.gone).toBe(cache.tokens * pages.length * (pages[0]?.length ?? 0));
  expect(cold.store.bytes).toBeLessThanOrEqual(cold.store.maxBytes);
  expect(cold.store.fileBytes > 0).toBe(cold.settings.store === "opfs");
  return counts;
}

/** Pages have it in fewer bits than a guest. */
function isDemoted({ plan, policy }: KvCache, format: number | undefined): boolean {
  const { keyBits = 16, valueBits = 16, basis } = policy.formats[format ?? -1] ?? {};
  return basis === "none" || keyBits + valueBits < 2 * plan.extras.guestBits;
}
