// cold: the codec, the store under its limit, which slots are evicted, the masses and the choice of guests, against f64 twins and as properties.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeVector, encodeVector } from "../../../src/cold/codec";
import { Evicted } from "../../../src/cold/evicted";
import { OCCURRENCE, Occurrences } from "../../../src/cold/occurrences";
import { resolveCold } from "../../../src/cold/options";
import { Recall } from "../../../src/cold/recall";
import { blockMasses, LOCAL } from "../../../src/cold/signal";
import { BLOCK, ColdStore, coldBlockBytes } from "../../../src/cold/store";
import { fromHalf, half, toHalf } from "../../reference/codec";
import { coldShares, occurrenceShares, recodeCold } from "../../reference/cold";
import { gaussian, seeded } from "../../reference/scoring-case";
import { expectClose, tolerances } from "../../tolerances";

const SHAPE = { layers: 2, kvHeads: 2, headSize: 8 };

function pack(values: ArrayLike<number>): Uint32Array {
  return Uint32Array.from({ length: values.length / 2 }, (_, n) => (toHalf(values[2 * n] ?? 0) | (toHalf(values[2 * n + 1] ?? 0) << 16)) >>> 0);
}

function unpack(words: Uint32Array): number[] {
  return Array.from(words).flatMap((word) => [fromHalf(word & 0xffff), fromHalf(word >>> 16)]);
}

function recoded(values: readonly number[]): number[] {
  const D = values.length;
  const [codes, scales, words] = [new Uint8Array(D), new Float32Array(2), new Uint32Array(D / 2)];
  encodeVector(pack(values), 0, D, codes, 0, scales, 0);
  decodeVector(codes, 0, scales, 0, D, words, 0);
  return unpack(words);
}

/** Rows of (G, capacity, D/2): keys, then values, made of the position, the head and a random number. */
function layerRows(tokens: number, seed: number) {
  const normal = gaussian(seeded(seed));
  const { kvHeads, headSize } = SHAPE;
  const values = Array.from({ length: 2 * kvHeads * tokens * headSize }, () => half(normal()));
  return { values, rows: { words: pack(values), keysAt: 0, valuesAt: (kvHeads * tokens * headSize) / 2, capacity: tokens } };
}

function filled(maxBytes: number, tokens: number, worth: (block: number) => number = () => 1) {
  const store = new ColdStore(SHAPE, maxBytes);
  const layers = [0, 1].map((layer) => layerRows(tokens, 3 + layer));
  for (const [layer, { rows }] of layers.entries()) store.put(layer, rows, [0, tokens], (position) => position, worth);
  store.finish(0, tokens);
  return { store, layers };
}

describe("codec", () => {
  test("a worked example", () => {
    // 0 to 5.1 in 255 steps of 0.02: 1.009 is 50.45 steps, so 50, which is 1.0
    const got = recoded([0, 5.1, 1.009, 2, 4, 3, 0.02, 0.011].map(half));
    expect(got.map((x) => Math.round(x * 100) / 100)).toEqual([0, 5.1, 1, 2, 4, 3, 0.02, 0.02]);
  });

  test("any vector, against f64; equal channels come back as they were", () => {
    const channel = fc.double({ min: -60, max: 60, noNaN: true }).map(half);
    fc.assert(
      fc.property(fc.array(channel, { minLength: 32, maxLength: 32 }), (values) => {
        expectClose(recoded(values), recodeCold(values), { ...tolerances.halfPrecision, atol: (Math.max(...values) - Math.min(...values)) / 255 / 50 + 1e-4 });
      }),
    );
    expect(recoded(Array<number>(8).fill(half(-3.7)))).toEqual(Array<number>(8).fill(half(-3.7)));
  });
});

describe("store", () => {
  const one = coldBlockBytes(SHAPE);

  test("the bytes of a block, by hand", () => {
    expect(one).toBe(2 * 2 * 2 * BLOCK * (8 + 8)); // layers, heads, key and value, tokens, codes with scale and zero
  });

  test("gives back what went in, rounded", () => {
    const tokens = 21;
    const { store, layers } = filled(10 * one, tokens);
    for (const [layer, head, position] of [
      [0, 0, 0],
      [0, 1, 20],
      [1, 0, 9],
      [1, 1, 16],
    ] as const) {
      const at = (part: number): number => ((part * 2 + head) * tokens + position) * 8;
      const own = (part: number): number[] => (layers[layer]?.values ?? []).slice(at(part), at(part) + 8);
      expectClose(unpack(store.restore(layer, head, position) ?? new Uint32Array()), [...recodeCold(own(0)), ...recodeCold(own(1))], tolerances.halfPrecision);
    }
    expect([store.restore(0, 0, 21), store.restore(0, 0, 24), store.has(20), store.has(21)]).toEqual([undefined, undefined, true, false]);
  });

  test("never above its limit; the least worth goes; what is gone stays gone", () => {
    const worths = fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(worths, fc.integer({ min: 1, max: 14 }), fc.integer({ min: 1, max: 14 }), (each, room, later) => {
        const own = each.map((worth, index) => worth + index / 100); // all different
        const { store } = filled(room * one, own.length * BLOCK, (block) => own[block] ?? 0);
        const best = (count: number): number[] =>
          own.map((worth, block) => ({ worth, block })).sort((a, b) => b.worth - a.worth).slice(0, count).map(({ block }) => block).sort((a, b) => a - b); // biome-ignore format: one line
        const there = (): number[] => [...store.blocks].map(({ index }) => index).sort((a, b) => a - b);
        expect(there()).toEqual(best(room));
        expect(store.bytes).toBe(Math.min(room, own.length) * one);
        store.limit(later * one);
        expect(there()).toEqual(best(Math.min(room, later)));
        expect(store.bytes).toBeLessThanOrEqual(later * one);
      }),
    );
  });

  test("a limit below one block is refused and changes nothing", () => {
    const { store } = filled(4 * one, 40);
    const before = [...store.blocks].map(({ index }) => index);
    for (const bad of [one - 1, 0, -5, Number.NaN, 1.5]) expect(() => store.limit(bad)).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
    expect(() => new ColdStore(SHAPE, one - 1)).toThrow(`A block of ${BLOCK} tokens takes ${one} bytes`);
    expect([...store.blocks].map(({ index }) => index)).toEqual(before);
    expect(store.maxBytes).toBe(4 * one);
  });

  test("a block that lacks a layer is of no use: it goes, and takes no more from the bytes than it had", () => {
    const { rows } = layerRows(32, 3);
    const wide = new ColdStore({ ...SHAPE, layers: 3 }, 1e6);
    for (const layer of [0, 2]) wide.put(layer, rows, [0, 32], (position) => position, () => 1); // biome-ignore format: one line
    wide.finish(0, 32);
    expect([wide.bytes, wide.has(0), [...wide.blocks].length]).toEqual([0, false, 0]);
  });

  test("tokens taken back are forgotten, other moments' blocks dropped", () => {
    const { store } = filled(10 * one, 32);
    const versions = new Map([...store.blocks].map(({ index, version }) => [index, version]));
    store.forget((position) => position >= 29);
    expect([store.has(28), store.has(29), store.restore(0, 0, 29)]).toEqual([true, false, undefined]);
    store.retain(({ index, version }) => versions.get(index) === version);
    expect([store.has(23), store.has(24)]).toEqual([true, false]);
    expect(store.bytes).toBe(3 * one);
  });
});

describe("evicted", () => {
  test("what was neither in pages nor before the ring's start nor after it, and never back again", () => {
    const tokens = 70;
    const bits = fc.uint8Array({ minLength: tokens, maxLength: tokens, max: 1 });
    fc.assert(
      fc.property(bits, bits, fc.integer({ min: 0, max: 8 }), fc.integer({ min: 8, max: tokens }), (first, second, sinks, start) => {
        const evicted = new Evicted({ layers: 1, kvHeads: 1, headSize: 8 }, tokens);
        const words = (hot: Uint8Array): Uint32Array => {
          const packed = new Uint32Array(9); // held, demoted, and risen
          hot.forEach((bit, position) => {
            packed[position >> 5] = ((packed[position >> 5] ?? 0) | (bit << (position & 31))) >>> 0;
          });
          return packed;
        };
        evicted.update(words(first), sinks, [start - 4]);
        evicted.update(words(second), sinks, [start]);
        const judged = (position: number, end: number): boolean => position >= sinks && position < end;
        for (let position = 0; position < tokens; position++)
          expect(evicted.has(0, 0, position)).toBe((judged(position, start - 4) && !first[position]) || (judged(position, start) && !second[position]));
      }),
    );
  });
});

describe("masses", () => {
  test.for([false, true])("against f64, over ragged heads; with what pages hold demoted: %s", (promote) => {
    const tokens = 40;
    const group = 3;
    const { store } = filled(1e6, tokens);
    const evicted = new Evicted(SHAPE, 400);
    const random = seeded(11);
    const hot = Uint32Array.from({ length: 3 * evicted.words.length }, () => random() * 2 ** 32);
    for (let word = 0; word < hot.length; word++) {
      const before = hot[word - SHAPE.kvHeads * evicted.stride] ?? 0;
      if (Math.floor(word / (SHAPE.kvHeads * evicted.stride)) % 3 > 0) hot[word] = (hot[word] ?? 0) & before; // those demoted are held, those risen demoted
    }
    evicted.update(hot, 2, [tokens - 3, tokens - 7]);
    const stride = 6 * 8 + 6 + 10;
    const normal = gaussian(seeded(12));
    const numbers = Float32Array.from({ length: 2 * stride }, () => normal());
    const got = blockMasses(store, evicted, { position: 300, numbers, stride }, group, { promote });
    const want = new Map<number, number>();
    for (let layer = 0; layer < 2; layer++)
      for (let head = 0; head < 6; head++) {
        const query = numbers.subarray(layer * stride + head * 8, layer * stride + head * 8 + 8);
        const kvHead = Math.floor(head / group);
        const slots = Array.from({ length: tokens }, (_, position) => position)
          .filter((position) => evicted.has(layer, kvHead, position) || (promote && evicted.isDemoted(layer, kvHead, position)))
          .map((position) => ({
            position,
            ...(!evicted.has(layer, kvHead, position) && { counts: evicted.hasRisen(layer, kvHead, position) ? 1 : 1 / 8 }),
            key: unpack(store.restore(layer, kvHead, position) ?? new Uint32Array()).slice(0, 8),
          }));
        for (const [block, share] of coldShares(query, numbers[layer * stride + 48 + head] ?? Number.NaN, slots, BLOCK))
          if (share > 1e-3) want.set(block, (want.get(block) ?? 0) + share);
      }
    expect([...got.keys()].sort()).toEqual([...want.keys()].sort());
    const order = [...want.keys()];
    const close = { ...tolerances.blockMass, rtol: 2e-2, because: "keys rounded once more to f16 by restore()" };
    expectClose(order.map((block) => got.get(block) ?? Number.NaN), order.map((block) => want.get(block) ?? Number.NaN), close); // biome-ignore format: one line
  });

  test("what pages hold demoted points at an eighth, where it is to be promoted; in full where its importance rose", () => {
    const { store } = filled(1e6, 16);
    const evicted = new Evicted(SHAPE, 400);
    const hot = new Uint32Array(3 * evicted.words.length).fill(0xffff); // all is held
    for (const row of [2, 3, 8, 9]) hot[row * evicted.stride] = 0xff00; // block 1 demoted
    for (const row of [4, 5, 10, 11]) hot[row * evicted.stride] = 0;
    evicted.update(hot, 0, [16, 16]);
    expect([evicted.has(0, 0, 9), evicted.isDemoted(0, 0, 9), evicted.isDemoted(1, 1, 7), evicted.isDemoted(1, 1, 8)]).toEqual([false, true, false, true]);
    const signal = { position: 300, numbers: new Float32Array(2 * 24).fill(0), stride: 24 };
    for (const head of [16, 17]) for (const layer of [0, 24]) signal.numbers[layer + head] = Math.log(32); // 16 of 32 in the sum are block 0 and 1
    expect(blockMasses(store, evicted, signal, 1)).toEqual(new Map());
    const masses = blockMasses(store, evicted, signal, 1, { promote: true });
    expect([...masses.keys()]).toEqual([1]);
    expect(masses.get(1)).toBeCloseTo((4 * (8 / 32)) / 8, 6);
    hot[5 * evicted.stride] = 0x300; // of layer 0, head 1: two of its eight
    evicted.update(hot, 0, [16, 16]);
    expect([evicted.hasRisen(0, 1, 9), evicted.hasRisen(0, 1, 10), evicted.hasRisen(1, 1, 9)]).toEqual([true, false, false]);
    expect(blockMasses(store, evicted, signal, 1, { promote: true }).get(1)).toBeCloseTo((4 * (8 / 32)) / 8 + ((2 / 32) * 7) / 8, 6);
  });

  test("what lies near counts nothing, and what is a guest is part of the sum already", () => {
    const { store } = filled(1e6, 16);
    const evicted = new Evicted(SHAPE, 400);
    evicted.update(new Uint32Array(3 * evicted.words.length), 0, [16, 16]);
    const numbers = new Float32Array(2 * 24); // queries and lse 0: every slot weighs e^0
    const signal = { position: 300, numbers, stride: 24 };
    // a head, of which there are two a layer: 8 / (1 + 16) for either block; 8 / (1 + 8) where block 0 is in the sum already
    expect(blockMasses(store, evicted, signal, 1).get(0)).toBeCloseTo((4 * 8) / 17, 10);
    expect(blockMasses(store, evicted, signal, 1, { attended: (block) => block === 0 }).get(1)).toBeCloseTo((4 * 8) / 9, 10);
    expect([...blockMasses(store, evicted, { ...signal, position: 128 }, 1).keys()]).toEqual([0]);
  });
});

describe("occurrences", () => {
  const filler = (count: number): number[] => Array.from({ length: count }, (_, n) => 1000 + n); // each once

  test("a worked example: the rare token points at one place, the other at two, what is near at none", () => {
    const occurrences = new Occurrences();
    const ids = [...[7, 8, ...filler(6)], ...[8, ...filler(7).map((id) => id + 100)], ...filler(140).map((id) => id + 200), 7, 8];
    occurrences.add(0, ids);
    const last = ids.length - 1; // 157
    expect(occurrences.masses(last - 1, last + 1)).toEqual(new Map([[0, OCCURRENCE * 1.5], [1, OCCURRENCE / 2]])); // biome-ignore format: one line
    occurrences.add(last + 1, [7]); // stood at 0 and 156
    expect(occurrences.masses(last + 1, last + 2)).toEqual(new Map([[0, OCCURRENCE]]));
    expect(occurrences.masses(last + 2, last + 9)).toEqual(new Map()); // not known yet
  });

  test("any ids, taken back and told again, against the definition", () => {
    const id = fc.integer({ min: 0, max: 20 });
    fc.assert(
      fc.property(fc.array(id, { minLength: 130, maxLength: 300 }), fc.array(id, { maxLength: 20 }), fc.nat(129), (first, second, back) => {
        const occurrences = new Occurrences();
        occurrences.add(0, first);
        if (back % 2 === 0) occurrences.rewind(first.length - back);
        occurrences.add(first.length - back, second);
        const ids = [...first.slice(0, first.length - back), ...second];
        expect(occurrences.ids).toEqual(ids);
        for (let i = Math.max(0, ids.length - 12); i < ids.length; i++) {
          const want = occurrenceShares(ids, i, { block: BLOCK, local: LOCAL, worth: OCCURRENCE });
          const got = occurrences.masses(i, i + 1);
          expect([...got.keys()].sort()).toEqual([...want.keys()].sort());
          for (const [block, mass] of want) expect(got.get(block)).toBeCloseTo(mass, 10);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("where earlier tokens are not known, later ones say nothing", () => {
    const occurrences = new Occurrences();
    occurrences.add(5, [1, 2]);
    expect(occurrences.ids).toEqual([]);
  });
});

describe("recall", () => {
  const options = { threshold: 0.5, halfLife: 8 };
  const all = (): boolean => true;

  test("who is pointed at comes, and the least pointed at leaves", () => {
    const recall = new Recall(2, options);
    const only =
      (...blocks: number[]) =>
      (block: number) =>
        blocks.includes(block);
    expect(recall.choose(new Map([[7, 0.4]]), 1, only(7, 20, 30))).toEqual([]); // below the threshold
    expect(recall.choose(new Map([[7, 0.4]]), 1, only(7, 20, 30))).toEqual([{ place: 0, block: 7 }]); // 0.4 * 2^(-1/8) + 0.4
    expect(recall.choose(new Map([[20, 2]]), 1, only(7, 20, 30))).toEqual([{ place: 1, block: 20 }]);
    expect(recall.choose(new Map([[30, 1]]), 1, only(7, 20, 30))).toEqual([{ place: 0, block: 30 }]);
    expect(recall.guests).toEqual([30, 20]);
    expect(recall.choose(new Map([[7, 1]]), 0, only(20, 30))).toEqual([]); // is gone
  });

  test("a block draws its neighbours, those that are kept", () => {
    const recall = new Recall(3, options);
    expect(recall.choose(new Map([[9, 1]]), 1, (block) => block !== 8)).toEqual([
      { place: 0, block: 9 },
      { place: 1, block: 10 },
    ]);
  });

  test("no place, no guest; a guest is never there twice", () => {
    expect(new Recall(0, options).choose(new Map([[1, 5]]), 1, all)).toEqual([]);
    const step = fc.dictionary(fc.integer({ min: 0, max: 12 }).map(String), fc.double({ min: 0.01, max: 3, noNaN: true }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.integer({ min: 1, max: 5 }), (steps, places) => {
        const recall = new Recall(places, options);
        for (const masses of steps) {
          const before = [...recall.guests];
          const changes = recall.choose(new Map(Object.entries(masses).map(([block, mass]) => [Number(block), mass])), 1, all);
          for (const { place, block } of changes) before[place] = block;
          expect(recall.guests).toEqual(before);
          const there = recall.guests.filter((block) => block !== undefined);
          expect(new Set(there).size).toBe(there.length);
        }
      }),
    );
  });
});

test("bad options name the field", () => {
  const fields = (options: Parameters<typeof resolveCold>[0]): unknown => {
    try {
      return resolveCold(options).guests;
    } catch (error) {
      return (error as { details: { field: string } }).details.field;
    }
  };
  expect(fields({ maxBytes: 1e6 })).toBe(24);
  expect(fields({ maxBytes: 1e6, recall: { guests: 0 } })).toBe(0);
  expect(fields({ maxBytes: 0 })).toBe("cold.maxBytes");
  expect(fields(JSON.parse('{"maxBytes":1000000,"store":"disk"}'))).toBe("cold.store");
  expect(() => resolveCold({ maxBytes: 1e6, store: "opfs" })).toThrow(/cold.store is opfs.*loadInWorker\(\)/); // this is Node
  expect(fields({ maxBytes: 1e6, recall: { guests: 12 } })).toBe("cold.recall.guests");
  expect(fields(JSON.parse('{"maxBytes":1000000,"recall":{"bits":2}}'))).toBe("cold.recall.bits");
  expect(fields({ maxBytes: 1e6, recall: { threshold: 0 } })).toBe("cold.recall.threshold");
  expect(fields({ maxBytes: 1e6, recall: { halfLife: Number.NaN } })).toBe("cold.recall.halfLife");
  expect(fields(JSON.parse('{"maxBytes":1000000,"recall":{"settle":1}}'))).toBe("cold.recall.settle");
  expect(fields(JSON.parse('{"maxBytes":1000000,"recall":{"occurrences":"no"}}'))).toBe("cold.recall.occurrences");
  expect(fields(JSON.parse('{"maxBytes":1000000,"recall":{"promote":"no"}}'))).toBe("cold.recall.promote");
  expect(fields(JSON.parse('{"maxBytes":1000000,"recall":{"guest":8}}'))).toBe("cold.recall.guest");
});
