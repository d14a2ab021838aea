// cold-tier: what a cache evicts is kept outside the GPU, and comes back when the queries point at it. Follows one cache: a prompt's keys and values are read
// back layer by layer, later tokens' before they leave the ring; queries come back some tokens late, choose what returns, and the blocks chosen are
// written into guest rows between two steps. Nothing here is waited for by a step.
// Leaves to others: what blocks hold (store), who is pointed at (signal), who comes and goes (recall).

import { guestPositions } from "../cache/extra-rows";
import type { KvCache, PromptStaging, RowScores } from "../cache/kv-cache";
import { openRing } from "../cache/open-ring";
import type { CacheWatcher } from "../cache/watcher";
import { EngineError } from "../errors";
import type { Gpu } from "../gpu/device";
import { runAhead } from "../gpu/readback";
import type { Recorder } from "../gpu/recorder";
import { openScratchFile } from "../load/scratch-file";
import { Evicted } from "./evicted";
import { Guests, type GuestsState } from "./guests";
import { Letters } from "./letters";
import { Mailbox, type Part } from "./mailbox";
import { Occurrences } from "./occurrences";
import type { ColdSettings } from "./options";
import { Probe } from "./probe";
import { PromptIntake } from "./prompt-intake";
import { blockMasses, type Signal } from "./signal";
import { BLOCK, ColdStore } from "./store";
import { countSlots, type TierCounts } from "./tier-counts";

/** What a readback of rows says: ring rows of positions [from, to), and what pages held before the token at `position`. */
interface RowsNote {
  readonly position: number;
  readonly from: number;
  /** Fewer than `position` where tokens were taken back meanwhile. */
  to: number;
  readonly ringStarts: readonly number[];
}

/** The token whose queries a readback holds. */
type SignalNote = Pick<Signal, "position">;

/** What a copy of the cache must know of the tier. */
interface TierState {
  /** Of the blocks: must be the same for a block to belong to that moment. */
  readonly versions: ReadonlyMap<number, number>;
  readonly ids: readonly number[];
  readonly guests: GuestsState;
  readonly evicted: Evicted;
  /** Positions below are captured. */
  readonly stored: number;
  /** What pages hold now is still to be asked for. */
  readonly fresh: boolean;
  /** Position of the signal applied last. */
  readonly observed: number;
}

/** Multiply-adds that the host may spend on a token's signal, on average: some milliseconds. Where the tier holds more, fewer tokens are observed. */
const WORK = 4e6;

export class ColdTier implements CacheWatcher {
  readonly store: ColdStore;
  #evicted: Evicted;
  readonly #guests: Guests;
  #prompt: PromptIntake;
  readonly #rows: Mailbox<RowsNote>;
  readonly #signals: Mailbox<SignalNote>;
  readonly #probe: Probe;
  readonly #occurrences = new Occurrences();
  readonly #lag: number;
  readonly #letters = new Letters();
  readonly #notes = new Set<RowsNote>(); // of rows that are not applied yet
  readonly #observations = new Set<SignalNote>(); // of signals that are not applied yet
  #stored = 0; // positions below are captured, or cannot be
  #fresh = true; // nothing is known of the pages yet
  #observing = false;
  #observed = 0; // position of the signal applied last
  #changes = 0; // of the cache: tokens that came or went, moments that were put back
  #disposed = false;

  /** @param decode buffers of a decoding step: what the signal is taken from. Throws BAD_OPTION where maxBytes is below one block. */
  constructor(
    readonly gpu: Gpu,
    private readonly cache: KvCache,
    readonly settings: ColdSettings,
    private readonly group: number,
    decode: { readonly rotated: GPUBuffer },
  ) {
    const { shape, owner } = cache.plan;
    this.store = new ColdStore(shape, settings.maxBytes, settings.store === "opfs" ? openScratchFile : undefined);
    this.#evicted = new Evicted(shape, cache.plan.tokens);
    this.#guests = new Guests(gpu, cache, this.store, settings);
    this.#prompt = new PromptIntake(gpu, this.store, owner);
    this.#probe = new Probe(gpu, cache, group, decode.rotated);
    this.#lag = runAhead(gpu);
    const { hot, signal, signalStride } = this.#probe;
    this.#rows = new Mailbox(gpu, cache.buffers.ring.size + hot.size, ROW_LETTERS, owner, (note, bytes) => {
      if (bytes) this.#letters.file(note.position, () => this.#takeRows(note, bytes));
      else this.#notes.delete(note);
    });
    this.#signals = new Mailbox(gpu, signal.size, 2 * this.#lag, owner, (note, bytes) => {
      if (bytes)
        this.#letters.file(note.position, (now) => this.#takeSignal(note, { ...note, numbers: new Float32Array(bytes), stride: signalStride / 4 }, now));
      else this.#observations.delete(note);
    });
  }

  // -- the cache's prompt and tokens, as they are recorded

  beginPrompt(staging: PromptStaging, scores?: RowScores): void {
    this.#prompt.begin(staging, scores);
  }

  recordPrompt(recorder: Recorder, layer: number): void {
    this.#prompt.record(recorder, layer);
  }

  endPrompt(tokens: number): void {
    this.#stored = tokens;
    this.#observed = Math.max(-1, tokens - 1 - Math.ceil(this.settings.halfLife)); // the last ones of a prompt point, too
    this.#fresh = true;
  }

  tell(position: number, ids: readonly number[]): void {
    this.#occurrences.add(position, ids);
  }

  /** Before the token at `position`, in its submit: applies what came back, and sends for rows that are about to leave the ring. */
  beforeToken(recorder: Recorder, position: number): void {
    this.#changes++;
    this.#guests.prepare();
    this.#letters.apply(position, position - this.#lag);
    const { ring } = this.cache.policy;
    if ((this.#fresh || position - this.#stored >= Math.max(1, Math.floor(ring / 2))) && this.#rows.hasRoom) this.#sendRows(recorder, position);
    this.#stored = Math.max(this.#stored, position + 1 - ring); // whose row this token takes cannot be read any more, also when it is taken back
    this.#observing = this.#guests.places > 0 && position % this.#every() === 0 && this.#signals.hasRoom;
  }

  attended(recorder: Recorder, layer: number): void {
    if (this.#observing) this.#probe.recordSignal(recorder, layer);
  }

  recordToken(recorder: Recorder, position: number): void {
    const note = { position };
    if (this.#observing && this.#signals.copy(recorder, [whole(this.#probe.signal)], note)) this.#observations.add(note);
    this.#observing = false;
  }

  sent(): void {
    this.#prompt.sent();
    this.#rows.sent();
    this.#signals.sent();
  }

  /** Before the first token, and before the next layer of a prompt is recorded: the store's file is open, the layer before has been read. Throws STORAGE. */
  async ready(): Promise<void> {
    await this.store.open();
    await this.#prompt.ready();
  }

  /** Tokens were taken back: others will stand at their positions. What their queries point at is not heard of any more; what was, stays. */
  rewind(tokens: number): void {
    this.#changes++;
    for (const note of this.#notes) note.to = Math.min(note.to, tokens);
    for (const note of this.#observations) if (note.position >= tokens) this.#observations.delete(note);
    this.#stored = Math.min(this.#stored, tokens);
    this.#observed = Math.min(this.#observed, tokens - 1);
    this.#occurrences.rewind(tokens);
    this.store.forget((position) => position >= tokens);
  }

  get state(): TierState {
    return {
      versions: new Map([...this.store.blocks].map(({ index, version }) => [index, version])),
      ids: this.#occurrences.ids.slice(),
      guests: this.#guests.state,
      evicted: this.#evicted.copy(),
      stored: Math.min(this.#stored, ...[...this.#notes].map(({ from }) => from)), // what is under way comes back to another
      fresh: this.#fresh || this.#notes.size > 0,
      observed: this.#observed,
    };
  }

  /**
   * Pages, rings and guests' rows are those of another moment; what was put into the store since is of another conversation. Where the store holds all that it
   * held then, everything goes on as it would have then.
   */
  resume(state: unknown, tokens: number): void {
    const known = isState(state) ? state : undefined;
    this.#changes++;
    this.#letters.clear();
    for (const note of this.#notes) note.to = 0;
    this.#notes.clear();
    this.#observations.clear();
    this.#prompt.dispose();
    this.#evicted = known?.evicted.copy() ?? new Evicted(this.store.shape, this.cache.plan.tokens);
    this.store.retain(({ index, version }) => known?.versions.get(index) === version);
    this.#guests.resume(known?.guests);
    const same = known !== undefined && [...known.versions.keys()].every((block) => this.store.block(block));
    this.#stored = Math.max(same ? known.stored : 0, tokens - this.cache.policy.ring); // what the ring holds can be read again
    this.#fresh = same ? known.fresh : true;
    this.#occurrences.add(0, known?.ids ?? []);
    this.#observed = known?.observed ?? tokens - 1;
  }

  // -- what callers ask

  /** Resolves when all that was sent for is here, and is applied at its time. After the GPU is idle: nothing is waited for then but that word of it gets around. */
  async arrived(): Promise<void> {
    await Promise.all([this.#rows.settled(), this.#signals.settled()]);
  }

  /**
   * Waits until everything under way has come back, and applies it: before the last token of a turn's input. Bounded by the GPU's queue. Where tokens went on
   * meanwhile, or another moment was put back, what came is left to its time. Throws DISPOSED, also where that happens meanwhile.
   */
  async settle(): Promise<void> {
    this.#check();
    const before = this.#changes;
    await Promise.all([this.#prompt.ready(), this.arrived()]);
    this.#check();
    if (this.#changes !== before) return;
    this.#letters.apply(this.cache.tokens, Number.POSITIVE_INFINITY);
    // Rows may have come to wait when their slots had just left pages; where nothing can be read they are woken a judgement later.
    const evicted = this.settings.promote ? await this.#probe.readEvicted(this.#ringStarts()).catch(() => undefined) : undefined;
    this.#check();
    if (!evicted || this.#changes !== before) return;
    this.#evicted = evicted;
    this.#guests.refresh(evicted);
  }

  /** Sets another byte limit for the store. Throws BAD_OPTION below one block; nothing has changed then. */
  limit(maxBytes: number): void {
    this.#check();
    this.store.limit(maxBytes);
    this.#guests.refresh(this.#evicted);
  }

  /** Where every slot is, at any moment. Only reads: nothing is applied earlier for it. What is on its way out of the GPU is cold. Throws DISPOSED as settle() does. */
  async counts(): Promise<TierCounts> {
    this.#check();
    await this.#prompt.ready();
    this.#check();
    const { gpu, cache, store } = this;
    const kept = Uint8Array.from({ length: cache.tokens }, (_, position) => Number(this.#isKept(position)));
    const guests = new Set([...store.blocks].flatMap(({ index }) => (store.isGuest(index) ? [index] : [])));
    // What the host knows is taken and the GPU is asked at the same moment: tokens may go on before it answers.
    const [evicted, tables] = await Promise.all([this.#probe.readEvicted(this.#ringStarts()), gpu.read(cache.buffers.tables)]);
    this.#check();
    return countSlots(cache.plan, evicted, kept, (at) =>
      guestPositions(new Uint32Array(tables), cache.plan, at).filter((position) => guests.has(Math.floor(position / BLOCK))),
    );
  }

  /** Positions that are guests now, ascending. */
  recalled(): number[] {
    return this.#guests.positions();
  }

  /** Resolves when the store's file is deleted; everything else is gone at once. */
  dispose(): Promise<void> {
    this.#disposed = true;
    this.#letters.clear();
    this.#prompt.dispose();
    this.#rows.dispose();
    this.#signals.dispose();
    this.#probe.dispose();
    return this.store.close();
  }

  #check(): void {
    if (this.#disposed) throw new EngineError("DISPOSED", "The cache of this cold tier was disposed, and what it kept with it. Start another conversation.");
  }

  /** One token in so many is observed. */
  #every(): number {
    return Math.max(1, Math.ceil((this.store.numKeys * this.group * this.store.shape.headSize) / WORK));
  }

  #sendRows(recorder: Recorder, position: number): void {
    const { cache } = this;
    this.#probe.recordHot(recorder);
    const note = {
      position,
      from: this.#stored,
      to: position,
      ringStarts: this.#ringStarts(),
    };
    if (!this.#rows.copy(recorder, [whole(cache.buffers.ring), whole(this.#probe.hot)], note)) return;
    this.#notes.add(note);
    this.#stored = position;
    this.#fresh = false;
  }

  #ringStarts(): number[] {
    return Array.from({ length: this.store.shape.layers }, (_, layer) => Math.min(this.cache.tokens, this.cache.ringStart(layer)));
  }

  /** Is in the store, is on its way there, or stands in a row of the ring that is sent for next. */
  #isKept(position: number): boolean {
    if (this.store.has(position) || position >= this.#stored) return true;
    return [...this.#notes].some(({ from, to }) => position >= from && position < to);
  }

  #takeRows(note: RowsNote, bytes: ArrayBuffer): void {
    if (!this.#notes.delete(note)) return; // of another moment of the cache
    const { from, to, ringStarts } = note;
    const { plan, policy, buffers } = this.cache;
    const words = openRing(new Uint32Array(bytes, 0, buffers.ring.size / 4), plan);
    const rowOf = (at: number): number => (at < policy.sinks ? at : policy.sinks + (at % policy.ring));
    const worth = this.#meanWorth(); // at once: room is made when the first layer comes
    for (let layer = 0; layer < plan.shape.layers && from < to; layer++) {
      const keysAt = layer * 2 * plan.openPlane;
      this.store.put(layer, { words, keysAt, valuesAt: keysAt + plan.openPlane, capacity: plan.ringSlots }, [from, to], rowOf, (block) =>
        layer > 0 || this.store.block(block) ? 0 : worth,
      );
    }
    this.store.finish(from, to);
    this.#evicted.update(this.#probe.hotBits(new Uint32Array(bytes, buffers.ring.size)), policy.sinks, ringStarts);
    this.#guests.refresh(this.#evicted);
  }

  /** What is new is worth as much as a block in the middle until something points at it. */
  #meanWorth(): number {
    const worths = [...this.store.blocks].map(({ worth }) => worth);
    return worths.length > 0 ? worths.reduce((sum, worth) => sum + worth) / worths.length : 1;
  }

  #takeSignal(note: SignalNote, signal: Signal, now: number): void {
    if (!this.#observations.delete(note)) return; // of a token that was taken back, or another moment
    const { promote, occurrences } = this.settings;
    const masses = blockMasses(this.store, this.#evicted, signal, this.group, { promote, attended: (block) => this.#guests.attended(block, signal.position) });
    if (occurrences)
      for (const [block, mass] of this.#occurrences.masses(this.#observed + 1, signal.position + 1)) masses.set(block, (masses.get(block) ?? 0) + mass);
    this.#guests.choose(masses, signal.position - this.#observed, this.#evicted, now);
    this.#observed = signal.position;
  }
}

function isState(state: unknown): state is TierState {
  return typeof state === "object" && state !== null && "versions" in state;
}

function whole(buffer: GPUBuffer): Part {
  return { buffer, offset: 0, bytes: buffer.size };
}

/** Readbacks of rows under way at once: one is sent every half ring, and takes as long as the decoder runs ahead. */
const ROW_LETTERS = 4;
