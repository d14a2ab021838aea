import { describe, expect, test } from "vitest";
import { type EngineError, isEngineError } from "../../../src/errors";
import { readHeader } from "../../../src/load/gguf";
import { fileSource } from "../../../src/node/file-source";
import { type ModelOptions, makeModel, sourceOf, type TestFile, withTensor, writeGguf } from "./make-gguf";

async function failure(bytes: Uint8Array<ArrayBuffer>): Promise<EngineError> {
  const error = await readHeader(sourceOf(bytes)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isEngineError(error)) throw new Error(`expected an EngineError, got ${String(error)}`);
  return error;
}

function metadata(extra: NonNullable<ModelOptions["metadata"]>): TestFile {
  return makeModel({ metadata: extra });
}

test("a sound file: config, tensors and tokenizer", async () => {
  const header = await readHeader(sourceOf(writeGguf(makeModel())));
  expect({ ...header.config, rope: header.config.rope.pairing }).toEqual({
    architecture: "llama",
    name: "Test",
    layers: 2,
    hidden: 64,
    ffn: 96,
    heads: 2,
    kvHeads: 1,
    headSize: 32,
    vocab: 80,
    context: 128,
    normEpsilon: Math.fround(1e-5),
    rope: "neighbour",
  });
  expect(header.tensors.get("blk.1.ffn_down.weight")).toMatchObject({ type: "Q8_0", rows: 64, cols: 96, bytes: 64 * 3 * 34 });
  expect(header.tokenizer).toMatchObject({ model: "gpt2", pre: "smollm", merges: ["t o"], eosId: 2, bosId: undefined });
  const qwen = await readHeader(sourceOf(writeGguf(makeModel({ architecture: "qwen2", biased: true, untied: true }))));
  expect(qwen.config.rope.pairing).toBe("half");
});

test("the bundled model's header", async () => {
  const source = await fileSource("models/tiny/tiny-q8_0.gguf");
  const { config, tokenizer } = await readHeader(source);
  await source.close?.();
  expect(config).toMatchObject({ architecture: "qwen2", layers: 4, hidden: 192, ffn: 512, heads: 6, kvHeads: 2, headSize: 32, vocab: 3072, context: 2048 });
  expect(tokenizer).toMatchObject({ model: "gpt2", pre: "llama-bpe", bosId: 0, eosId: 3 });
});

test("a header of more than one read of the parser's", async () => {
  const tokens = Array.from({ length: 60_000 }, (_, id) => `a rather long token with the number ${id}, to make the header long`);
  const bytes = writeGguf(makeModel({ vocab: tokens.length, metadata: { "tokenizer.ggml.tokens": tokens } }));
  const { tokenizer } = await readHeader(sourceOf(bytes));
  expect(tokenizer.tokens).toEqual(tokens);
  const cut = await failure(bytes.slice(0, 3_500_000));
  expect(cut.code).toBe("TRUNCATED");
});

describe("bad input", () => {
  const sound = makeModel();
  const bytes = writeGguf(sound);
  const damaged = bytes.slice();
  damaged.set(new Uint8Array(8).fill(255), 24); // the first key's length

  test.each([
    ["empty", "NOT_GGUF", new Uint8Array(0)],
    ["a web page", "NOT_GGUF", new TextEncoder().encode("<!doctype html><title>Sign in</title>")],
    ["version 1", "NOT_GGUF", writeGguf({ ...sound, version: 1 })],
    ["a key's length is absurd", "NOT_GGUF", damaged],
    ["cut in the first bytes", "TRUNCATED", bytes.slice(0, 3)],
    ["cut in the metadata", "TRUNCATED", bytes.slice(0, 400)],
    ["cut in the weights", "TRUNCATED", bytes.slice(0, bytes.length - 2000)],
    ["another architecture", "UNSUPPORTED_ARCHITECTURE", writeGguf(makeModel({ architecture: "gemma3" }))],
    ["experts", "UNSUPPORTED_ARCHITECTURE", writeGguf(metadata({ "llama.expert_count": 8 }))],
    ["one file of several", "UNSUPPORTED_ARCHITECTURE", writeGguf(metadata({ "split.count": 3 }))],
    ["RoPE on a part of the head", "UNSUPPORTED_ARCHITECTURE", writeGguf(metadata({ "llama.rope.dimension_count": 16 }))],
    ["values of another size", "UNSUPPORTED_ARCHITECTURE", writeGguf(metadata({ "llama.attention.value_length": 16 }))],
    ["an unknown tensor type", "UNSUPPORTED_TENSOR", writeGguf(withTensor(sound, "blk.0.ffn_up.weight", { typeId: 10 }))],
    [
      "a tensor that the model does not use",
      "UNSUPPORTED_TENSOR",
      writeGguf({ ...sound, tensors: [...sound.tensors, { name: "blk.0.attn_q_norm.weight", shape: [32], type: "F32", bytes: new Uint8Array(128) }] }),
    ],
    ["a quantized norm", "UNSUPPORTED_TENSOR", writeGguf(withTensor(sound, "output_norm.weight", { type: "Q8_0", bytes: new Uint8Array(68) }))],
    ["a shape that disagrees with the size", "BAD_TENSOR", writeGguf(withTensor(sound, "blk.0.ffn_up.weight", { shape: [64, 97] }))],
    ["a shape that disagrees with the metadata", "BAD_TENSOR", writeGguf(metadata({ "llama.feed_forward_length": 128 }))],
    ["overlapping tensors", "BAD_TENSOR", writeGguf(withTensor(sound, "blk.0.ffn_up.weight", { offset: 0 }))],
    ["a width that is no whole number of blocks", "BAD_TENSOR", writeGguf(withTensor(sound, "blk.0.ffn_up.weight", { shape: [48, 128] }))],
    ["three dimensions", "BAD_TENSOR", writeGguf(withTensor(sound, "blk.0.ffn_up.weight", { shape: [64, 48, 2] }))],
    ["a missing tensor", "BAD_TENSOR", writeGguf({ ...sound, tensors: sound.tensors.filter(({ name }) => name !== "blk.1.attn_v.weight") })],
    ["more tokens than embeddings", "BAD_TENSOR", writeGguf(metadata({ "tokenizer.ggml.tokens": Array.from({ length: 81 }, (_, id) => `${id}`) }))],
    ["the same tensor twice", "BAD_TENSOR", writeGguf({ ...sound, tensors: [...sound.tensors, sound.tensors[0] as TestFile["tensors"][number]] })],
    ["no architecture", "MISSING_METADATA", writeGguf(metadata({ "general.architecture": undefined }))],
    ["no number of layers", "MISSING_METADATA", writeGguf(metadata({ "llama.block_count": undefined }))],
    ["zero heads", "MISSING_METADATA", writeGguf(metadata({ "llama.attention.head_count": 0 }))],
    ["a name where a number belongs", "MISSING_METADATA", writeGguf(metadata({ "llama.embedding_length": "wide" }))],
    ["heads that do not divide", "MISSING_METADATA", writeGguf(metadata({ "llama.attention.head_count": 4, "llama.attention.head_count_kv": 3 }))],
    ["no vocabulary", "MISSING_METADATA", writeGguf(metadata({ "tokenizer.ggml.tokens": undefined }))],
    ["an unknown RoPE scaling", "MISSING_METADATA", writeGguf(metadata({ "llama.rope.scaling.type": "spiral" }))],
  ])("%s: %s", async (_what, code, broken) => {
    const error = await failure(broken as Uint8Array<ArrayBuffer>);
    expect(`${error.code}: ${error.message}`).toMatch(new RegExp(`^${code}: .*test\\.gguf.*\\. \\S.*\\.$`)); // what is wrong, then the next act
    expect(error.details).toHaveProperty("found");
    expect(error.details).toHaveProperty("expected");
  });

  test("every file cut short is told from a whole one", async () => {
    for (let length = 4; length < bytes.length; length += 977) expect((await failure(bytes.slice(0, length))).code, `cut at ${length}`).toBe("TRUNCATED");
  });
});
