import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { float16Bits, float16Value } from "../../../src/load/float16";
import { GGML_TYPES, type GgmlType, rowBytes } from "../../../src/load/ggml-types";
import { repackRows } from "../../../src/load/repack";
import { WORDS_PER_UNIT } from "../../../src/model/weights";
import { scalesAt, unpackWeight } from "../../reference/weights";

/** Blocks of every type and what the Python package gguf makes of them (test/golden/README.md). */
interface Golden {
  readonly type: GgmlType;
  readonly rows: number;
  readonly columns: number;
  readonly bytes: string;
  readonly values: string;
}

const golden = JSON.parse(readFileSync(new URL("../../golden/dequant.json", import.meta.url), "utf8")) as Golden[];

function decode(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}

/**
 * How far a value of the K types may move: their scales are f16 products (repack.ts), each off by at most 2^-11 of itself,
 * or 2^-25 where subnormal. So 2^-11 (a * code + |m|) + 2^-25 (code + 1), at the largest code. The other types are exact.
 */
function allowance(type: GgmlType, [low, high]: readonly [number, number]): number {
  const largest = { Q4_K: 15, Q5_K: 31, Q6_K: 32 }[type as string] ?? 0;
  const terms = type === "Q6_K" ? Math.max(Math.abs(low), Math.abs(high)) * largest : Math.abs(low) * largest + Math.abs(high);
  return largest === 0 ? 0 : terms * 2 ** -11 + (largest + 1) * 2 ** -25;
}

test("the golden file has all eleven types", () => {
  expect(golden.map((entry) => entry.type).sort()).toEqual(Object.keys(GGML_TYPES).sort());
});

describe.each(golden)("$type", ({ type, rows, columns, bytes: encoded, values }) => {
  const bytes = decode(encoded);
  const wanted = Float64Array.from(new Float32Array(decode(values).buffer));
  const kind = GGML_TYPES[type].kind;
  const words = (stride: number): Uint32Array => new Uint32Array((columns / 32) * WORDS_PER_UNIT[kind] * stride);

  test("repacked and read back equals the Python package's values", () => {
    expect(bytes.length).toBe(rows * rowBytes(type, columns));
    const stride = 64;
    const target = words(stride);
    repackRows(type, bytes, rows, columns, { words: target, stride, firstRow: 0 });
    const got = unpackWeight(kind, target, stride, rows, columns);
    let worst = 0;
    for (let i = 0; i < got.length; i++) {
      const [value, want] = [got[i] as number, wanted[i] as number];
      const coded = kind === "q4" || kind === "q5" || kind === "q6";
      const allowed = coded ? allowance(type, scalesAt(kind, target, stride, Math.floor(i / columns), i % columns)) : 0;
      // The golden values are f32: scale times code plus minimum may need more bits than f32 has, so compare after rounding too.
      const error = Math.min(Math.abs(value - want), Math.abs(Math.fround(value) - want));
      if (!(error <= allowed) && !Object.is(value, want)) throw new Error(`${type} element ${i}: got ${value}, wanted ${want}, error ${error} > ${allowed}`);
      worst = Math.max(worst, error);
    }
    expect(wanted.some((value) => value !== 0)).toBe(true);
    if (type.endsWith("_K")) expect(worst).toBeGreaterThan(0); // else the allowance is not needed
  });

  test("rows repacked one by one, at odd addresses, over a tile's edge, give the same words", () => {
    const stride = 128;
    const whole = words(stride);
    const pieces = words(stride);
    const rowLength = rowBytes(type, columns);
    const tall = new Uint8Array(100 * rowLength);
    for (let row = 0; row < 100; row++) tall.set(bytes.subarray((row % rows) * rowLength, ((row % rows) + 1) * rowLength), row * rowLength);
    repackRows(type, tall, 100, columns, { words: whole, stride, firstRow: 3 });
    for (let row = 0; row < 100; row++) {
      const odd = new Uint8Array(rowLength + 1).subarray(1);
      odd.set(tall.subarray(row * rowLength, (row + 1) * rowLength));
      repackRows(type, odd, 1, columns, { words: pieces, stride, firstRow: 3 + row });
    }
    expect(Buffer.compare(Buffer.from(whole.buffer), Buffer.from(pieces.buffer))).toBe(0);
    for (const row of [0, 1, 2, 103, 127]) for (let word = 0; word < whole.length / stride; word++) expect(whole[word * stride + row]).toBe(0);
  });
});

test("float16Bits inverts float16Value for every number and rounds ties to even", () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = float16Value(bits);
    if (Number.isNaN(value)) expect(Number.isNaN(float16Value(float16Bits(value)))).toBe(true);
    else if (float16Bits(value) !== bits) throw new Error(`${bits}: ${value} gives ${float16Bits(value)}`);
  }
  for (let bits = 0; bits < 0x7bff; bits++) {
    const between = (float16Value(bits) + float16Value(bits + 1)) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    if (float16Bits(between) !== even || float16Bits(-between) !== (even | 0x8000)) throw new Error(`tie above ${bits} goes to ${float16Bits(between)}`);
  }
  expect(float16Bits(65519)).toBe(0x7bff);
  expect(float16Bits(65520)).toBe(0x7c00);
  expect(float16Bits(2 ** -25)).toBe(0);
  expect(float16Bits(2 ** -24)).toBe(1);
});
