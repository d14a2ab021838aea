// cold-types: the public words of the cold tier. Types only, and part of engine-types, by which they are imported.

/** The cold tier: evicted tokens in 8 bits outside the GPU, where the engine runs. Policies that keep every token ignore it. */
export interface ColdOptions {
  /** Most bytes it may take, a limit of its own beside the budget: at least one block of 8 tokens (over all layers and heads). What does not fit is gone. */
  readonly maxBytes: number;
  /**
   * Where values are kept: in memory (default), or in a file of the page's own storage (OPFS), which is deleted with the cache; keys are in memory, as every
   * token asks for them. Where the disk or the quota is full, the rest stays in memory. In a worker of a page only: elsewhere "opfs" is BAD_OPTION, and
   * STORAGE where the browser refuses.
   */
  readonly store?: "memory" | "opfs";
  readonly recall?: {
    /** Rows of every kv head for tokens that are brought back, paid by the budget; in steps of 8, default 24. 0: nothing comes back. */
    readonly guests?: number;
    /** Bits of a channel of such a row; default 8, which is what is kept. */
    readonly bits?: 8 | 4;
    /** Attention, in whole heads summed over layers and the last tokens, that must have pointed at a block of 8 tokens for it to come back; default 0.5. */
    readonly threshold?: number;
    /** Tokens after which what was pointed at counts half; default 8. */
    readonly halfLife?: number;
    /** Wait, once a turn, before the last token of its input, until what that input points at is back; default true. */
    readonly settle?: boolean;
    /** Blocks where the tokens now read stood before are pointed at by the ids as well, a few tokens before heads look there; rare ids most. Default true. */
    readonly occurrences?: boolean;
    /** Tokens of such a block that pages hold in fewer bits than a row come back as well, and leave their pages when their layer is next judged. Default true. */
    readonly promote?: boolean;
  };
}

/** Slots: one token of one (layer, kv head) each. hot + cold + gone is all of them. */
export interface ColdReport {
  /** On the GPU, recalled ones included. */
  readonly hot: number;
  readonly cold: number;
  readonly gone: number;
  readonly recalled: number;
  /** Outside the GPU: copies of hot slots included, as they would be needed when those are evicted. */
  readonly bytes: number;
  readonly maxBytes: number;
  /** Of `bytes`, those in a file (OPFS); the others are in memory. */
  readonly fileBytes: number;
  /** Why the file takes no more, where it does not; what comes since is kept in memory. */
  readonly fileFailure?: string;
}
