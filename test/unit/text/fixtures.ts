// fixtures: tokenizers of the two models for the text tests, and the golden ids made by scripts/golden.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gguf } from "@huggingface/gguf";
import { Tokenizer, type TokenizerMetadata } from "../../../src/text/tokenizer";

export interface GoldenString {
  readonly text: string;
  readonly parsed: readonly number[];
  readonly plain: readonly number[];
}

export interface GoldenChat {
  readonly messages: readonly { readonly role: "system" | "user" | "assistant"; readonly content: string }[];
  readonly addGenerationPrompt: boolean;
  readonly text: string;
  readonly parsedIds: readonly number[];
  readonly ids: readonly number[];
}

export interface TextModel {
  readonly name: string;
  readonly metadata: TokenizerMetadata;
  readonly tokenizer: Tokenizer;
  readonly strings: readonly GoldenString[];
  readonly chats: readonly GoldenChat[];
}

const files = { tiny: "models/tiny/tiny-q8_0.gguf", smollm2: "models/cache/smollm2-135m.gguf" } as const;

/** The models whose file is here. The bundled one always is; a missing one is named. */
export async function textModels(): Promise<TextModel[]> {
  const smollm2Missing = !existsSync(pathOf(files.smollm2));
  if (smollm2Missing) console.log(`not run: text tests on SmolLM2, no ${files.smollm2} (npm run model -- smollm2-135m gets it)`);
  return Promise.all([openTextModel("tiny"), ...(smollm2Missing ? [] : [openTextModel("smollm2")])]);
}

export async function openTextModel(name: keyof typeof files): Promise<TextModel> {
  const metadata = await readMetadata(pathOf(files[name]));
  const golden = JSON.parse(readFileSync(pathOf(`test/golden/tokens-${name}.json`), "utf8")) as Pick<TextModel, "strings" | "chats">;
  return { name, metadata, tokenizer: new Tokenizer(metadata), strings: golden.strings, chats: golden.chats };
}

export function pathOf(file: string): string {
  return fileURLToPath(new URL(`../../../${file}`, import.meta.url));
}

async function readMetadata(path: string): Promise<TokenizerMetadata> {
  const { metadata } = await gguf(path, { allowLocalFile: true });
  const values = metadata as unknown as Readonly<Record<string, unknown>>;
  return {
    model: values["tokenizer.ggml.model"] as string,
    pre: values["tokenizer.ggml.pre"] as string,
    tokens: values["tokenizer.ggml.tokens"] as string[],
    tokenTypes: values["tokenizer.ggml.token_type"] as number[],
    merges: values["tokenizer.ggml.merges"] as string[],
    bosId: values["tokenizer.ggml.bos_token_id"] as number,
    eosId: values["tokenizer.ggml.eos_token_id"] as number,
    addBos: values["tokenizer.ggml.add_bos_token"] as boolean,
    chatTemplate: values["tokenizer.chat_template"] as string,
  };
}
