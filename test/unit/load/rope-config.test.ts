import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readHeader } from "../../../src/load/gguf";
import type { RopeConfig } from "../../../src/model/model-config";
import { expectClose, tolerances } from "../../tolerances";
import { type ModelOptions, makeModel, sourceOf, type TestFile, writeGguf } from "./make-gguf";

type Extra = NonNullable<ModelOptions["metadata"]>;

async function rope(metadata: Extra, tensors: TestFile["tensors"] = [], context?: number): Promise<RopeConfig> {
  const file = makeModel({ metadata });
  const source = sourceOf(writeGguf({ ...file, tensors: [...file.tensors, ...tensors] }));
  return (await readHeader(source, context === undefined ? {} : { context })).config.rope;
}

function factors(name: string, values: readonly number[]): TestFile["tensors"][number] {
  return { name, shape: [values.length], type: "F32", bytes: new Uint8Array(Float32Array.from(values).buffer) };
}

const ones = new Float64Array(16).fill(1);
const key = "llama.rope.scaling";

test("no scaling", async () => {
  expect(await rope({})).toEqual({ theta: 10000, pairing: "neighbour", divisors: ones, magnitude: 1 });
  expect((await rope({ [`${key}.type`]: "none", [`${key}.factor`]: { float: 4 } })).divisors).toEqual(ones);
});

test("linear, under its new and its old key", async () => {
  expect((await rope({ [`${key}.type`]: "linear", [`${key}.factor`]: { float: 4 } })).divisors).toEqual(ones.map(() => 4));
  expect((await rope({ "llama.rope.scale_linear": { float: 2 } })).divisors).toEqual(ones.map(() => 2));
});

interface Golden {
  readonly context: number;
  readonly theta: number;
  readonly rope_type: string;
  readonly factor?: number;
  readonly low_freq_factor?: number;
  readonly high_freq_factor?: number;
  readonly original_max_position_embeddings?: number;
  readonly beta_fast?: number;
  readonly beta_slow?: number;
  readonly long_factor?: readonly number[];
  readonly short_factor?: readonly number[];
  readonly divisors: readonly number[];
  readonly magnitude: number;
}

const golden = JSON.parse(readFileSync(new URL("../../golden/rope.json", import.meta.url), "utf8")) as Golden[];

test.each(golden)("$rope_type as transformers has it (theta $theta)", async (wanted) => {
  const optional = (name: string, value: number | undefined): Extra => (value === undefined ? {} : { [`${key}.${name}`]: { float: value } });
  const original = wanted.original_max_position_embeddings;
  const got = await rope(
    {
      "llama.context_length": wanted.context,
      "llama.rope.freq_base": { float: wanted.theta },
      [`${key}.type`]: wanted.rope_type,
      ...(original ? { [`${key}.original_context_length`]: original } : {}),
      ...optional("factor", wanted.factor),
      ...optional("low_freq_factor", wanted.low_freq_factor),
      ...optional("high_freq_factor", wanted.high_freq_factor),
      ...optional("yarn_beta_fast", wanted.beta_fast),
      ...optional("yarn_beta_slow", wanted.beta_slow),
    },
    wanted.long_factor && wanted.short_factor
      ? [factors("rope_factors_long.weight", wanted.long_factor), factors("rope_factors_short.weight", wanted.short_factor)]
      : [],
  );
  expect(got.divisors.some((divisor) => divisor !== 1)).toBe(true);
  expectClose(got.divisors, wanted.divisors, tolerances.frequency);
  expectClose([got.magnitude], [wanted.magnitude], tolerances.f64);
});

test("longrope takes the short factors where the context used fits the original one", async () => {
  const tensors = [factors("rope_factors_long.weight", Array(16).fill(8)), factors("rope_factors_short.weight", Array(16).fill(2))];
  const metadata: Extra = { [`${key}.type`]: "longrope", [`${key}.original_context_length`]: 64, [`${key}.attn_factor`]: { float: 1.25 } };
  expect(await rope(metadata, tensors, 64)).toMatchObject({ divisors: ones.map(() => 2), magnitude: 1.25 });
  expect(await rope(metadata, tensors, 65)).toMatchObject({ divisors: ones.map(() => 8), magnitude: 1.25 });
});

test("rope_freqs.weight divides the frequencies (how converters store llama3's scaling)", async () => {
  const values = Array.from({ length: 16 }, (_, pair) => 1 + pair);
  expect((await rope({}, [factors("rope_freqs.weight", values)])).divisors).toEqual(Float64Array.from(values));
  await expect(rope({}, [factors("rope_freqs.weight", [1, 2, 3])])).rejects.toMatchObject({ code: "BAD_TENSOR" });
});
