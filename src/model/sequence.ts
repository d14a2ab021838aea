// sequence: one request's cache and the buffers that live as long as it. Plans the cache from policy and budget, binds its scorers.
// Leaves to others: running the prompt (prefill), the loop (generate, score).

import type { CacheBuffers } from "../cache/cache-buffers";
import { planCache } from "../cache/cache-plan";
import { copyCache } from "../cache/cache-snapshot";
import { KvCache, type RowScores } from "../cache/kv-cache";
import { fullBytesPerToken } from "../cache/page-layout";
import { type PromptBuffers, PromptScorer } from "../cache/prompt-scorer";
import { rocketCapacity, sparseAttention } from "../cache/read-plan";
import { RingScorer } from "../cache/ring-scorer";
import type { SelectiveReader } from "../cache/selective-reader";
import { energyOffset, receivedOffset, statisticsBytesPerLayer } from "../cache/statistics";
import { ColdTier } from "../cold/cold-tier";
import { type ColdSettings, resolveCold, withGuests } from "../cold/options";
import type { Budget, CacheOptions } from "../engine-types";
import type { BufferView } from "../gpu/kernel";
import type { Recorder } from "../gpu/recorder";
import { StepBuffer } from "../gpu/step";
import { ringAttention } from "../kernels/ring-attention";
import { autoChoice } from "../policy/auto";
import { sharesOf } from "../policy/budgets";
import type { Calibration } from "../policy/calibration";
import { bad } from "../policy/checks";
import { budgetBytes, needsBudget, type Policy, resolvePolicy } from "../policy/policy";
import { type Propagation, propagationLayer, RETAINED } from "../policy/propagation";
import { checkWindow } from "../policy/reevaluation";
import { DEFAULTS, scorerByName } from "../policy/scorers";
import type { ScoreOptions } from "../policy/scorers/scorer";
import { bindRingRotation } from "./decoder";
import type { PromptTarget } from "./prefill";
import type { Transformer } from "./transformer";

/** A layer counts what its ring receives from one token in so many, layers in turn, where what pages receive is counted, too: either costs a dispatch. */
const COUNTED_BESIDE = 2;

/** A cache with everything its policy needs, from the first token to the last. */
export class Sequence {
  readonly policy: Policy;
  readonly cache: KvCache;
  /** Bytes of the full 16-bit cache for every token this sequence may hold. */
  readonly fullBytes: number;
  /** What it evicts, where it is kept and the policy evicts at all. */
  readonly cold: ColdTier | undefined;
  #ringScorer: RingScorer | undefined;
  #ringStep: StepBuffer | undefined;
  #promptScorer: PromptScorer | undefined;

  /**
   * @param tokens prompt and new tokens at most: what a ratio budget is a ratio of
   * @param promptTokens those that come in as the prompt: what is compressed where only that is. Unknown: none
   */
  constructor(
    private readonly transformer: Transformer,
    private readonly options: CacheOptions,
    private readonly tokens: number,
    private readonly promptTokens = 0,
  ) {
    const { config } = transformer;
    this.fullBytes = tokens * fullBytesPerToken(config);
    const chosen = options.policy === "auto" ? autoChoice(options, tokens, this.fullBytes) : options;
    const cold = options.cold && resolveCold(options.cold);
    const plain = chosen.policy ?? (chosen.budget ? "lacuna" : "full");
    const calibration = transformer.codec?.calibration;
    const asked = cold && needsBudget(resolvePolicy(plain, calibration)) ? withGuests(plain, cold) : plain;
    const bytes = needsBudget(resolvePolicy(asked, calibration))
      ? budgetBytes(chosen.budget ?? this.#ownBudget(asked, tokens, promptTokens), this.fullBytes)
      : undefined;
    const policy = resolvePolicy(asked, calibration, (bytes ?? this.fullBytes) / this.fullBytes);
    checkWindow(policy, tokens);
    if (policy.propagate) checkPropagation(policy.propagate, config.layers, cold);
    this.policy = policy;
    const owner = transformer.nameSequence();
    try {
      this.cache = this.#createCache(owner, { tokens, promptTokens }, bytes);
      if (cold && needsBudget(policy)) this.cold = this.#follow(cold);
    } catch (error) {
      transformer.gpu.destroyOwned(owner); // of the buffers made before one failed
      throw error;
    }
  }

  /** A sequence of its own that goes on from here: every buffer of the cache is copied on the GPU. */
  fork(): Sequence {
    const { transformer, options, tokens, promptTokens } = this;
    const copy = new Sequence(transformer, options, tokens, promptTokens);
    try {
      if (this.cold) {
        copy.cold?.store.limit(this.cold.store.maxBytes); // it may have been changed since
        copy.cold?.store.copyFrom(this.cold.store);
      }
      copyCache(transformer.gpu, this.cache, copy.cache);
      return copy;
    } catch (error) {
      copy.dispose();
      throw error;
    }
  }

  /** Its score wants a second pass over the prompt. */
  get needsReplay(): boolean {
    return this.policy.score !== undefined && scorerByName(this.policy.score.kind).replay === true;
  }

  /** What prefill fills: this cache, with the scores of its policy. */
  target(): PromptTarget {
    return {
      cache: this.cache,
      replay: this.needsReplay,
      ...(this.#promptScore && { score: (buffers) => this.#scorePrompt(buffers) }),
    };
  }

  /** Resolves when what it kept outside memory is deleted; everything else is gone at once. */
  async dispose(): Promise<void> {
    const deleted = this.cold?.dispose();
    this.#promptScorer?.dispose();
    this.#ringScorer?.dispose();
    this.#ringStep?.dispose();
    this.cache.dispose();
    this.transformer.gpu.destroyOwned(this.cache.plan.owner); // what decoders and judges of this sequence left
    await deleted;
  }

  #follow(settings: ColdSettings): ColdTier {
    const { gpu, config, decodeBuffers } = this.transformer;
    const tier = new ColdTier(gpu, this.cache, settings, config.heads / config.kvHeads, decodeBuffers);
    this.cache.watcher = tier;
    return tier;
  }

  /** What a policy takes where none is given: FastKV's part; RocketKV's split, in 16 bits, with the bounds of its chunks. */
  #ownBudget(asked: NonNullable<CacheOptions["policy"]>, tokens: number, promptTokens: number): Budget | undefined {
    const { read, propagate } = resolvePolicy(asked);
    if (propagate) return { ratio: RETAINED };
    if (read.kind !== "rocket") return undefined;
    const { config } = this.transformer;
    const held = rocketCapacity(read.tokens, promptTokens || tokens, promptTokens ? tokens - promptTokens : 0);
    const { span } = sparseAttention(read.tokens, held, config.headSize);
    return { bytes: Math.min(this.fullBytes, Math.ceil(held * fullBytesPerToken(config) * (1 + 1 / span))) };
  }

  #createCache(owner: string, { tokens, promptTokens }: { tokens: number; promptTokens: number }, bytes: number | undefined): KvCache {
    const { policy, transformer } = this;
    const { gpu, config, codec } = transformer;
    const request = {
      tokens,
      promptTokens,
      layerShares: sharesOf(policy.budget, config, {
        ratio: (bytes ?? this.fullBytes) / this.fullBytes,
        tokens,
        window: policy.sinks + policy.ring,
        ...(codec && { calibration: codec.calibration }),
      }),
      statisticsBytesPerLayer: policy.score ? statisticsBytesPerLayer(config, this.#countsRing() ? policy.sinks + policy.ring : 0) : 0,
      owner,
      ...(bytes === undefined ? {} : { budgetBytes: bytes }),
    };
    const plan = planCache(gpu, config, policy, request, codec);
    const cache = new KvCache(
      gpu,
      config,
      policy,
      plan,
      transformer.decodeBuffers,
      policy.score ? (buffers, reader) => this.#scoreRing(buffers, reader) : undefined,
    );
    bindRingRotation(transformer, cache, 0); // compiled with the others, before a prompt
    return cache;
  }

  /** What judges a prompt's slots: the policy's score, or where nothing is dropped the one that filters what the first turn reads. */
  get #promptScore(): ScoreOptions | undefined {
    const { turn } = this.cache.plan.reading ?? {};
    const filter = turn && ({ ...DEFAULTS, kind: "snapkv", window: turn.window, pool: 1, poolKind: "max", sinks: this.policy.sinks } as const); // turn-filter pools
    return this.policy.score ?? filter;
  }

  #scorePrompt(buffers: Omit<PromptBuffers, "owner" | "momentsTarget">): PromptScorer {
    const { gpu, config } = this.transformer;
    const options = this.#promptScore ?? this.#requireScore();
    this.#promptScorer = new PromptScorer(gpu, config, scorerByName(options.kind), options, {
      ...buffers,
      owner: this.cache.plan.owner,
      normalise: this.policy.score !== undefined && this.#normalises(),
      preference: this.policy.budget.preference,
      ...(this.policy.score && { momentsTarget: this.cache.buffers.statistics }),
      ...this.#calibrated(),
    });
    return this.#promptScorer;
  }

  /** Scores of the ring's rows, sinks included in the rows but never judged. */
  #scoreRing(buffers: CacheBuffers, reader?: SelectiveReader): RowScores {
    const { gpu, config, decodeBuffers } = this.transformer;
    const options = this.#requireScore();
    const { ringSlots, shape, owner } = buffers.plan;
    const step = new StepBuffer(gpu, owner);
    this.#ringStep = step;
    const layers = Array.from({ length: shape.layers }, (_, layer) => ({ keys: buffers.openKeys(layer), values: buffers.openValues(layer) }));
    const attention = this.#countsRing() ? this.#countRing(buffers, reader) : undefined;
    const scorer = new RingScorer(gpu, config, scorerByName(options.kind), options, {
      step: step.buffer,
      qkv: decodeBuffers.qkv,
      layers,
      moments: buffers.statistics,
      ringSlots,
      owner,
      ...this.#calibrated(),
      ...(attention && { received: attention.received }),
      ...(scorerByName(options.kind).projected && { outputGrams: this.transformer.outputGrams().buffer }),
      ...(this.#normalises() && { factors: (layer) => ({ buffer: buffers.statistics, offset: energyOffset(config, layer), size: 2 * config.kvHeads * 4 }) }),
    });
    this.#ringScorer = scorer;
    return {
      scores: () => scorer.importance,
      stride: ringSlots,
      queryEnergy: (layer) => ({ buffer: buffers.statistics, offset: energyOffset(config, layer), size: config.kvHeads * 4 }),
      prepare: (position, held) => {
        scorer.prepare(position);
        step.write({ tokens: 1, firstPosition: position, context: held, ringLength: ringSlots });
      },
      record: (recorder, layer) => scorer.score(recorder, layer),
      // One dispatch a layer is enough: what counts the ring's attention does without moments that follow the text.
      ...(attention ?? { observe: (recorder: Recorder, layer: number) => scorer.observe(recorder, layer) }),
    };
  }

  /** Keeps what the ring's rows receive from every token decoded: of the attention over what it reads. */
  #countRing(
    buffers: CacheBuffers,
    reader?: SelectiveReader,
  ): Required<Pick<RowScores, "begin" | "attended">> & { readonly received: (layer: number) => BufferView } {
    const { gpu, config, decodeBuffers } = this.transformer;
    const { plan, info, units, partials } = buffers;
    const most = scorerByName(this.#requireScore().kind).ringAttention === "max";
    const every = this.policy.reevaluate ? COUNTED_BESIDE : 1;
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const begun = gpu.createBuffer(`${plan.owner}.begun`, 16, "scratch", { usage, owner: plan.owner });
    const size = config.kvHeads * plan.ringSlots * 4;
    const received = (layer: number): BufferView => ({ buffer: buffers.statistics, offset: receivedOffset(config, layer, plan.ringSlots), size });
    const shared = { info, begun, partials, step: decodeBuffers.step, rotated: decodeBuffers.rotated };
    const ops = Array.from({ length: plan.shape.layers }, (_, layer) =>
      ringAttention(gpu, plan.geometry, {
        ...shared,
        units: reader?.ofLayer(layer)?.unitsBuffer ?? units,
        ring: buffers.ringRows(layer),
        received: received(layer),
      }),
    );
    return {
      received,
      begin: (position) => gpu.write(begun, 0, new Uint32Array([position, most ? 1 : 0, every])),
      attended: (recorder, layer, position) => {
        if ((position + layer) % every === 0) ops[layer]?.record(recorder);
      },
    };
  }

  #countsRing(): boolean {
    return scorerByName(this.#requireScore().kind).ringAttention !== undefined;
  }

  /** Rate-distortion takes importance for attention, whose sum over a head's slots is 1. */
  #normalises(): boolean {
    return this.policy.mode === "rate-distortion" && !scorerByName(this.#requireScore().kind).mass;
  }

  #calibrated(): { readonly calibration?: Calibration } {
    const { codec } = this.transformer;
    return codec ? { calibration: codec.calibration } : {};
  }

  #requireScore(): ScoreOptions {
    if (!this.policy.score) throw new TypeError("This policy has no score.");
    return this.policy.score;
  }
}

/** Throws BAD_OPTION. */
function checkPropagation(rule: Propagation, layers: number, cold: ColdSettings | undefined): void {
  propagationLayer(rule, layers);
  if (cold) throw bad("cold", { maxBytes: cold.maxBytes }, "none together with propagate, as layers cannot give back tokens that never reached them");
}
