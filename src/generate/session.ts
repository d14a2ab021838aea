// session: a conversation over one compressed cache. Turns share the loop of generate; a session adds what stays between them: the cache,
// the ids, and moments to go back to. Leaves to others: the loop (turn), the ids of a prompt (conversation).

import { CacheSnapshot } from "../cache/cache-snapshot";
import { fullBytesPerToken } from "../cache/page-layout";
import type { GenerateEvent, OpenRequest, SendRequest, Session, SessionMark, SessionUsage } from "../engine-types";
import { EngineError, type ErrorCode, isEngineError } from "../errors";
import { Sequence } from "../model/sequence";
import { Conversation, checkRoom } from "./conversation";
import { coldReport, type Runtime } from "./runtime";
import { checkTurn, runTurn } from "./turn";

/** What the engine does around its sessions. */
export interface SessionHost {
  /** Throws where the engine is of no use any more. */
  check(): void;
  /** Runs a turn as one of the engine's requests. */
  run<Event>(start: () => AsyncGenerator<Event>): AsyncGenerator<Event, void, undefined>;
  opened(session: LocalSession): void;
  ended(session: LocalSession): void;
}

/** After these a session is as it was before the turn, or says what it has taken in; after others its cache may hold garbage. */
const HARMLESS: readonly ErrorCode[] = ["ABORTED", "BAD_OPTION", "CONTEXT_FULL"];

/** Throws BAD_OPTION, and what making a cache throws; nothing is left behind then. */
export async function openSession(runtime: Runtime, host: SessionHost, request: OpenRequest): Promise<LocalSession> {
  const { tokens } = request;
  if (!Number.isInteger(tokens) || tokens < 2 || tokens > runtime.context)
    throw new EngineError(
      "BAD_OPTION",
      `Option tokens is ${tokens}: the most a session will ever hold. Allowed: whole numbers from 2 to the ${runtime.context} positions prepared for.`,
      { field: "tokens", found: tokens, expected: runtime.context },
    );
  return settled(runtime, host, new Sequence(runtime.transformer, request, tokens), new Conversation(runtime), tokens);
}

/** A session once its cache is known to be there. */
async function settled(runtime: Runtime, host: SessionHost, sequence: Sequence, conversation: Conversation, capacity: number): Promise<LocalSession> {
  try {
    await runtime.transformer.gpu.idle(); // memory that there was not is told here
    await sequence.cold?.ready();
    host.check();
  } catch (error) {
    await sequence.dispose();
    throw error;
  }
  const session = new LocalSession(runtime, host, sequence, conversation, capacity);
  host.opened(session);
  return session;
}

/** What a mark stands for. */
interface Moment {
  readonly conversation: Conversation;
  readonly cache: CacheSnapshot;
}

export class LocalSession implements Session {
  readonly #marks = new Map<SessionMark, Moment>();
  #marksMade = 0;
  #turn: AbortController | undefined; // of the turn that is running
  #disposed = false;
  #freed: Promise<void> | undefined;
  #failure: EngineError | undefined;

  constructor(
    private readonly runtime: Runtime,
    private readonly host: SessionHost,
    private readonly sequence: Sequence,
    private conversation: Conversation,
    private readonly capacity: number,
  ) {}

  async *send(request: SendRequest): AsyncGenerator<GenerateEvent, void, undefined> {
    yield* this.host.run(() => this.#send(request));
  }

  async fork(): Promise<Session> {
    this.#check();
    const { runtime, host, sequence, conversation, capacity } = this;
    await sequence.cold?.settle(); // what is under way belongs to both
    this.#check();
    return settled(runtime, host, sequence.fork(), conversation.copy(), capacity);
  }

  async snapshot(): Promise<SessionMark> {
    this.#check();
    const { sequence, conversation } = this;
    await sequence.cold?.settle();
    this.#check();
    const { gpu } = this.runtime.transformer;
    const cache = new CacheSnapshot(gpu, sequence.cache, `${sequence.cache.plan.owner}.mark${this.#marksMade++}`);
    const mark: SessionMark = {
      tokens: conversation.ids.length,
      bytes: cache.bytes,
      dispose: async () => {
        if (this.#marks.delete(mark)) cache.dispose();
      },
    };
    this.#marks.set(mark, { conversation: conversation.copy(), cache });
    await gpu.idle().catch(async (error: unknown) => {
      await mark.dispose();
      throw error;
    });
    return mark;
  }

  async restore(mark: SessionMark): Promise<void> {
    this.#checkIdle();
    const moment = this.#marks.get(mark);
    if (!moment)
      throw new EngineError("BAD_OPTION", "The snapshot is not one of this session's, or was disposed. Give one that its snapshot() returned.", {
        field: "mark",
      });
    moment.cache.restore(this.sequence.cache);
    this.conversation = moment.conversation.copy();
    await this.runtime.transformer.gpu.idle();
    this.#failure = undefined;
  }

  async usage(): Promise<SessionUsage> {
    this.#checkAlive();
    const tokens = this.conversation.ids.length;
    return {
      tokens,
      capacity: this.capacity,
      kvBytes: this.sequence.cache.bytes,
      fullBytes: tokens * fullBytesPerToken(this.runtime.transformer.config),
      ...(this.sequence.cold && { cold: await coldReport(this.sequence.cold) }),
      snapshotBytes: [...this.#marks.values()].reduce((sum, { cache }) => sum + cache.bytes, 0),
    };
  }

  async limitCold(maxBytes: number): Promise<void> {
    this.#check();
    const { cold } = this.sequence;
    if (!cold)
      throw new EngineError("BAD_OPTION", "This session has no cold tier to limit. Open one with cold: { maxBytes } and a policy that evicts.", {
        field: "cold.maxBytes",
        found: maxBytes,
      });
    cold.limit(maxBytes);
  }

  async dispose(): Promise<void> {
    this.close();
    await this.#freed;
  }

  /** The same at once. What a turn that is running holds, it frees itself: at its next event, which is an error. */
  close(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.host.ended(this);
    if (this.#turn) this.#turn.abort();
    else this.#free();
  }

  async *#send(request: SendRequest): AsyncGenerator<GenerateEvent, void, undefined> {
    this.#check();
    const { conversation, capacity, sequence } = this;
    const options = checkTurn(request);
    const prompt = conversation.encode(request.prompt);
    checkRoom(conversation.ids.length, prompt.ids.length, capacity);
    const turn = new AbortController();
    this.#turn = turn;
    conversation.ids.push(...prompt.ids);
    const promptEnd = conversation.ids.length;
    const maxTokens = Math.min(options.maxTokens, capacity - promptEnd);
    const signal = request.signal ? AbortSignal.any([request.signal, turn.signal]) : turn.signal;
    try {
      const running = runTurn(
        this.runtime,
        sequence,
        { ids: conversation.ids, promptIds: prompt.ids, from: promptEnd, capacity },
        { ...options, maxTokens, signal },
      );
      for await (const event of running) {
        if (this.#disposed) throw disposed();
        yield event;
      }
    } catch (error) {
      if (this.#disposed) throw disposed();
      if (isEngineError(error) && !HARMLESS.includes(error.code)) this.#failure = error;
      throw error;
    } finally {
      this.#turn = undefined;
      if (this.#disposed) this.#free();
      else await this.#settle(promptEnd, () => conversation.taken(prompt));
    }
  }

  /** After a turn, however it ended: the cache holds the conversation but for its last few tokens, and the conversation nothing that is not to come in. */
  async #settle(promptEnd: number, taken: () => void): Promise<void> {
    const { cache } = this.sequence;
    const { ids } = this.conversation;
    try {
      if (cache.tokens === 0) cache.reset(); // a prompt that goes in by layers is in after the last, or not at all
      if (cache.tokens < promptEnd) ids.length = cache.tokens;
      else taken();
      if (cache.tokens > ids.length) cache.rewind(ids.length);
      await this.runtime.transformer.gpu.idle();
    } catch (error) {
      if (isEngineError(error)) this.#failure ??= error;
    }
  }

  #free(): void {
    for (const { cache } of this.#marks.values()) cache.dispose();
    this.#marks.clear();
    this.#freed = this.sequence.dispose();
  }

  /** Can go on from where it stands. */
  #check(): void {
    this.#checkIdle();
    if (!this.#failure) return;
    const { code, message, details } = this.#failure;
    throw new EngineError(code, `The session's cache may be damaged since a turn failed: ${message} Restore a snapshot, or open another session.`, details);
  }

  #checkIdle(): void {
    this.#checkAlive();
    if (this.#turn) throw new EngineError("BUSY", "The session is in the middle of a turn. Wait for its end or abort it, or fork the session before.");
  }

  #checkAlive(): void {
    this.host.check();
    if (this.#disposed) throw disposed();
  }
}

function disposed(): EngineError {
  return new EngineError("DISPOSED", "The session was disposed. Open another.");
}
