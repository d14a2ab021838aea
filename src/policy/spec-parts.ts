// spec-parts: two of a policy's choices as a caller writes them: who gets how much, and what a decoded token reads of what is held. Types only.

/** Who gets how much: every layer the same, shares from the model's own table, PyramidKV's line, a table of one's own, or layers weighed against each other (global, dynamic, cake). */
export interface BudgetSpec {
  readonly kind: "uniform" | "ada" | "shares" | "pyramid" | "table" | "global" | "dynamic" | "cake";
  /** Heads of a layer get the same (default for uniform and dynamic), or compete (AdaKV; default for the others). */
  readonly heads?: "uniform" | "ada";
  /** Part of a layer that is divided evenly before its heads compete. */
  readonly safeguard?: number;
  /** pyramid: the last layer's slots are this many times fewer than the mean. */
  readonly beta?: number;
  /** table: the layers' parts, one a layer, of any sum. */
  readonly table?: readonly number[];
  /** cake: tau1 and tau2, by whose inverses the entropy and the variance of a layer's attention are raised; and the prompt's last queries that they are of. */
  readonly temperatures?: readonly [number, number];
  readonly window?: number;
  /** global, dynamic, cake: most times its equal share that one layer may hold. */
  readonly slack?: number;
}

/**
 * Sinks and ring are always read. "all": everything else too (default). The others read about `tokens` tokens a kv head (default 256), sinks and ring among them,
 * chosen for every token: "quest" chunks of `chunk` neighbours (default 16) by bounds of their keys, the first `dense` layers (default 2) reading everything; "rocket" by
 * hybrid sparse attention. Goes with one format a policy, neither calibrated nor sparse.
 */
export interface ReadSpec {
  readonly kind: "all" | "quest" | "rocket";
  readonly tokens?: number;
  readonly chunk?: number;
  readonly dense?: number;
  /** Chosen anew only where the mean cosine of a group's queries with those that chose is below it (FreeKV), -1 to 1; default: for every token. */
  readonly reselect?: number;
  /**
   * "rocket" with uniform precision (RocketKV-MT): a turn's answer chooses among those chunks alone that the last `window` tokens (default 32) of what came before it look
   * at, over `pool` neighbours (default 63); nothing is lost for later turns. Tokens of a later turn's prompt read everything, as the paper's prefill does.
   */
  readonly turn?: { readonly window?: number; readonly pool?: number };
}
