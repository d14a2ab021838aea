// types: the shapes of OpenAI's chat.completions (openai-node 7), as far as the engine serves them. Everything of our own is under `lacuna`.

import type { Budget, FinishReason, FormatName, PolicySpec, PresetName } from "../engine-types";

export interface TextPart {
  readonly type: "text";
  readonly text: string;
}

export interface ChatCompletionMessage {
  /** `developer` is another word for `system`. */
  readonly role: "system" | "developer" | "user" | "assistant";
  readonly content: string | readonly TextPart[];
  /** Comes back in answers; only null can be sent again. */
  readonly refusal?: null;
}

/** What a request can ask of the cache, and sampling that OpenAI has no word for. */
export interface LacunaOptions {
  readonly policy?: PresetName | PolicySpec;
  readonly budget?: Budget;
  readonly top_k?: number;
  readonly min_p?: number;
  readonly repetition_penalty?: number;
}

export interface ChatCompletionRequest {
  readonly messages: readonly ChatCompletionMessage[];
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean } | null;
  readonly max_completion_tokens?: number | null;
  /** Deprecated by OpenAI and sent by everyone: the same as max_completion_tokens. */
  readonly max_tokens?: number | null;
  /** Default 1, as OpenAI's; the engine's own default is 0. */
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly stop?: string | readonly string[] | null;
  readonly seed?: number | null;
  readonly lacuna?: LacunaOptions | null;
  // Accepted and ignored: they steer nothing here.
  readonly model?: string | null;
  readonly user?: string | null;
  readonly store?: boolean | null;
  readonly metadata?: Readonly<Record<string, string>> | null;
  // Accepted at the value that asks for nothing.
  readonly n?: 1 | null;
  readonly frequency_penalty?: 0 | null;
  readonly presence_penalty?: 0 | null;
  readonly logprobs?: false | null;
  readonly response_format?: { readonly type: "text" } | null;
}

/** OpenAI's union is closed; these are the two that can happen here. */
export type ChatFinishReason = "stop" | "length";

export interface ChatUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** What the run did to the cache, measured, and how long it took. */
export interface LacunaReport {
  /** The engine's own word, which also tells `context` from `length`. */
  readonly finish_reason: FinishReason;
  readonly kv: {
    readonly live_bytes: number;
    readonly peak_bytes: number;
    /** What the same tokens take uncompressed, 16 bits. */
    readonly f16_bytes: number;
    readonly bytes_by_format: Partial<Record<FormatName | "ring", number>>;
    readonly kept_fraction: number;
    readonly evicted_slots: number;
  };
  readonly timings: {
    readonly prefill_ms: number;
    readonly decode_ms: number;
    readonly prefill_tokens_per_second: number;
    readonly decode_tokens_per_second: number;
  };
}

export interface ChatCompletion {
  readonly id: string;
  readonly object: "chat.completion";
  readonly created: number; // Unix seconds
  readonly model: string;
  readonly choices: readonly [
    {
      readonly index: 0;
      readonly message: { readonly role: "assistant"; readonly content: string; readonly refusal: null };
      readonly finish_reason: ChatFinishReason;
      readonly logprobs: null;
    },
  ];
  readonly usage: ChatUsage;
  readonly lacuna: LacunaReport;
}

export interface ChatCompletionChunk {
  readonly id: string;
  readonly object: "chat.completion.chunk";
  readonly created: number; // Unix seconds
  readonly model: string;
  readonly choices: readonly {
    readonly index: 0;
    readonly delta: { readonly role?: "assistant"; readonly content?: string };
    readonly finish_reason: ChatFinishReason | null;
    readonly logprobs: null;
  }[];
  /** With stream_options.include_usage: null in every chunk but the last. */
  readonly usage?: ChatUsage | null;
  /** On the last chunk. */
  readonly lacuna?: LacunaReport;
}
