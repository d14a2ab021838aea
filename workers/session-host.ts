// session-host: the sessions of the engine in this thread, by number, for callers in another one.
// Leaves to others: turns, which are jobs (engine-host.ts), and the caller's view (remote-session.ts).

import type { Engine, Session, SessionMark } from "../src/engine-types";
import { EngineError } from "../src/errors";
import { outcome, type SessionCalls } from "./protocol";

export interface SessionHost {
  readonly calls: SessionCalls;
  /** Throws DISPOSED for a number that is none any more. */
  find(number: number): Session;
}

interface Held {
  readonly session: Session;
  readonly marks: Map<number, SessionMark>;
}

export function createSessionHost(engine: () => Engine): SessionHost {
  const held = new Map<number, Held>();
  let last = 0;

  const find = (number: number): Held => {
    const found = held.get(number);
    if (!found) throw new EngineError("DISPOSED", "The session was disposed. Open another.");
    return found;
  };
  const keep = (session: Session): number => {
    held.set(++last, { session, marks: new Map() });
    return last;
  };

  const calls: SessionCalls = {
    openSession: (request) => outcome(async () => keep(await engine().open(request))),
    forkSession: (number) => outcome(async () => keep(await find(number).session.fork())),
    snapshotSession: (number) =>
      outcome(async () => {
        const { session, marks } = find(number);
        const mark = await session.snapshot();
        marks.set(++last, mark);
        return { mark: last, tokens: mark.tokens, bytes: mark.bytes };
      }),
    restoreSession: (number, markNumber) =>
      outcome(async () => {
        const { session, marks } = find(number);
        const mark = marks.get(markNumber);
        if (!mark)
          throw new EngineError("BAD_OPTION", "The snapshot is not one of this session's, or was disposed. Give one that its snapshot() returned.", {
            field: "mark",
          });
        await session.restore(mark);
      }),
    disposeMark: (number, markNumber) =>
      outcome(async () => {
        const marks = held.get(number)?.marks;
        await marks?.get(markNumber)?.dispose();
        marks?.delete(markNumber);
      }),
    sessionUsage: (number) => outcome(() => find(number).session.usage()),
    limitCold: (number, maxBytes) => outcome(() => find(number).session.limitCold(maxBytes)),
    disposeSession: (number) =>
      outcome(async () => {
        const session = held.get(number)?.session;
        held.delete(number);
        await session?.dispose();
      }),
  };
  return { calls, find: (number) => find(number).session };
}
