// cold-run: the bundled model on a cache with a cold tier, fed token by token, and the check that every slot is in one place.

import { expect } from "vitest";
import { readMap } from "../../src/cache/cache-report";
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
  const random = seeded(5);
  const id = (): number => 300 + Math.floor(random() * 200);
  const run = runOn(transformer, sequence, id);
  await gpu.kernels.ready();
  await prefill(transformer, Array.from({ length: prompt }, id), [sequence.target()], { step: {}, record: () => {} });
  return run;
}

/** Goes on with a fork, and disposes what it was made from. */
export async function forkRun({ transformer, sequence, end }: Run): Promise<Run> {
  const fork = sequence.fork();
  await fork.cold?.ready();
  end();
  const random = seeded(6);
  return runOn(transformer, fork, () => 300 + Math.floor(random() * 200));
}

function runOn(transformer: Transformer, sequence: Sequence, id: () => number): Run {
  const { gpu } = transformer;
  if (!sequence.cold) throw new Error("no cold tier");
  const decoder = new Decoder(transformer, sequence.cache, resolveSampling({}), []);
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
  return guestsIn(cache, new Uint32Array(await gpu.read(cache.buffers.tables)));
}

function guestsIn({ plan }: KvCache, tables: Uint32Array): Map<number, GuestRow>[][] {
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

/** Where the GPU has the slots of one layer and kv head, by its own words. */
interface Places {
  readonly layer: number;
  readonly head: number;
  readonly isHot: Uint8Array; // by position
  readonly rows: ReadonlyMap<number, GuestRow>;
}

/**
 * Reads sinks, rings, pages and guest rows: no slot is attended to in two places. At any moment between tokens; when all that was under way is here, nothing waits
 * for a slot that is not in pages any more, either.
 */
export async function readPlaces({ sequence: { cache }, transformer: { gpu } }: Run, isSettled = false): Promise<Places[]> {
  const words = await readWords(gpu, cache);
  checkPages(words);
  const guests = guestsIn(cache, words.tables);
  return slotFormats(words).flatMap((heads, layer) => {
    const start = ringStartOf(words, layer);
    return heads.map((slots, head) => {
      const rows = guests[layer]?.[head] ?? new Map<number, GuestRow>();
      const places = Uint8Array.from({ length: cache.tokens }, (_, position) => Number(position < cache.policy.sinks || position >= start));
      const count = (position: number): void => void (places[position] = (places[position] ?? 0) + 1);
      for (const position of slots.keys()) count(position);
      for (const [position, { waits }] of rows) {
        if (!waits) count(position);
        else if ((isSettled || slots.has(position)) && !isDemoted(cache, slots.get(position)))
          expect.fail(`position ${position} of layer ${layer}, head ${head}: nothing to wait for`);
      }
      const twice = places.findIndex((number) => number > 1);
      if (twice >= 0) expect.fail(`position ${twice} of layer ${layer}, head ${head} is in ${places[twice]} places`);
      return { layer, head, isHot: places, rows };
    });
  });
}

/** The tier's counts, against what the GPU says and what the store gives back; bytes within the limit. Unsettled, what is on its way here is cold to the tier. */
export async function checkCounts({ cold, sequence: { cache } }: Run, places: readonly Places[], isSettled = false) {
  const found = { hot: 0, cold: 0, gone: 0, recalled: 0 };
  const next = Math.max(cold.state.stored, cache.tokens - cache.policy.ring); // rows from there on are sent for with the next token
  for (let position = 0; position < cache.tokens; position++)
    for (const { layer, head, isHot, rows } of places) {
      if (rows.get(position)?.waits === false) found.recalled++;
      if (isHot[position]) found.hot++;
      else if (position >= next || cold.store.restore(layer, head, position)) found.cold++;
      else found.gone++;
    }
  const counts = await cold.counts();
  if (isSettled) expect(counts).toEqual(found);
  expect([counts.hot, counts.recalled, counts.cold + counts.gone]).toEqual([found.hot, found.recalled, found.cold + found.gone]);
  expect(counts.cold).toBeGreaterThanOrEqual(found.cold);
  expect(cold.store.bytes).toBeLessThanOrEqual(cold.store.maxBytes);
  return counts;
}

/** Every slot in one place, both as it is and when all that was under way is here; guests as they were kept; returns the counts. */
export async function checkAll(run: Run) {
  const { sequence, cold } = run;
  await checkCounts(run, await readPlaces(run));
  await cold.settle();
  const places = await readPlaces(run, true);
  const counts = await checkCounts(run, places, true);
  const map = await readMap(run.transformer.gpu, sequence.cache);
  for (const { layer, head, rows } of places) {
    const { guests = new Uint32Array(), positions } = map.layers[layer]?.heads[head] ?? { positions: [] };
    expect([...guests]).toEqual([...rows].flatMap(([position, { waits }]) => (waits ? [] : [position])).sort((a, b) => a - b));
    for (const position of positions) if (guests.includes(position)) expect.fail(`position ${position} is a guest and in pages, too`);
  }
  for (const { layer, head, rows } of places)
    for (const [position, row] of rows)
      expectClose([...row.key, ...row.value], twinOf(cold.store.restore(layer, head, position), row, sequence.cache.plan.extras.guestBits), tolerances.f64);
  expect(cold.store.fileBytes > 0).toBe(cold.settings.store === "opfs");
  return counts;
}

/** Pages have it in fewer bits than a guest. */
export function isDemoted({ plan, policy }: KvCache, format: number | undefined): boolean {
  const { keyBits = 16, valueBits = 16, basis } = policy.formats[format ?? -1] ?? {};
  return basis === "none" || keyBits + valueBits < 2 * plan.extras.guestBits;
}
