// remote-session: the Session interface on this side of the boundary. Leaves to others: messages and streams (remote-engine.ts).

import type { GenerateEvent, SendRequest, Session, SessionMark } from "../src/engine-types";
import { EngineError } from "../src/errors";
import type { Outcome, SessionCalls } from "./protocol";

/** How a session reaches the other side. */
export interface SessionChannel {
  call<Value>(act: (host: SessionCalls) => Promise<Outcome<Value>>): Promise<Value>;
  send(session: number, request: SendRequest): AsyncIterable<GenerateEvent>;
}

export function remoteSession(channel: SessionChannel, number: number): Session {
  const marks = new Map<SessionMark, number>();
  return {
    send: (request) => channel.send(number, request),
    fork: async () => remoteSession(channel, await channel.call((host) => host.forkSession(number))),
    async snapshot() {
      const { mark, tokens, bytes } = await channel.call((host) => host.snapshotSession(number));
      const made: SessionMark = { tokens, bytes, dispose: () => channel.call((host) => host.disposeMark(number, mark)) };
      marks.set(made, mark);
      return made;
    },
    async restore(mark) {
      const known = marks.get(mark);
      if (known === undefined)
        throw new EngineError("BAD_OPTION", "The snapshot is not one of this session's. Give one that its snapshot() returned.", { field: "mark" });
      await channel.call((host) => host.restoreSession(number, known));
    },
    usage: () => channel.call((host) => host.sessionUsage(number)),
    limitCold: (maxBytes) => channel.call((host) => host.limitCold(number, maxBytes)),
    dispose: () => channel.call((host) => host.disposeSession(number)),
  };
}
