// layer-shares: what part of a budget each layer should get, by model. Measured (methods: shares hardly depend on the text);
// until a calibration measures them for any model, models not listed here get equal shares.

export interface LayerShares {
  /** Share of the full 16-bit cache that the row was measured at. */
  readonly ratio: number;
  /** Percent of the bytes, layer 0 first; sinks and ring included. */
  readonly percent: readonly number[];
}

/** By `general.name`-independent identity: architecture, layers, kv heads, head size and vocabulary. */
export const LAYER_SHARES: Readonly<Record<string, readonly LayerShares[]>> = {
  // SmolLM2-135M
  "llama-30-3-64-49152": [
    {
      ratio: 0.0625,
      percent: [
        6.4, 5.9, 4.1, 5.1, 4.2, 3.6, 3.5, 5.4, 3.5, 2.7, 2.6, 2.8, 2.6, 2.0, 4.1, 2.9, 2.2, 3.7, 3.3, 3.6, 3.5, 2.4, 2.4, 5.5, 3.7, 1.7, 2.2, 1.3, 1.6, 1.5,
      ],
    },
    {
      ratio: 0.125,
      percent: [
        4.6, 5.0, 4.2, 5.0, 4.3, 3.6, 3.7, 4.5, 3.7, 3.1, 3.0, 3.2, 3.4, 2.6, 4.3, 3.4, 2.5, 3.8, 3.7, 3.8, 4.2, 2.6, 2.6, 4.8, 3.4, 1.6, 2.2, 0.9, 1.1, 1.1,
      ],
    },
  ],
};
