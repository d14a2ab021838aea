// file-server: a local HTTP server for download tests, which answers ranges and misbehaves on request.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Behaviour {
  /** Close the connection after so many bytes of one answer. */
  breakAfter?: number;
  /** Ignore the Range header. */
  noRanges?: boolean;
  /** Do not answer at all. */
  silent?: boolean;
  /** Answer with this status and nothing else. */
  status?: number;
  /** Send other bytes of the same length. */
  damaged?: boolean;
}

export interface FileServer {
  readonly url: string;
  /** Range headers of the requests so far; "" for none. */
  readonly requests: string[];
  behaviour: Behaviour;
  close(): Promise<void>;
}

/** Serves `bytes` under every path. */
export async function serveFile(bytes: Uint8Array): Promise<FileServer> {
  const state: { requests: string[]; behaviour: Behaviour } = { requests: [], behaviour: {} };
  const server = createServer((request, response) => answer(bytes, state, request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(state, { url: `http://127.0.0.1:${port}`, close: () => close(server) });
}

function answer(
  bytes: Uint8Array,
  { requests, behaviour }: { requests: string[]; behaviour: Behaviour },
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const range = request.headers.range ?? "";
  requests.push(range);
  if (behaviour.silent) return;
  if (behaviour.status) return void response.writeHead(behaviour.status).end();
  const asked = /^bytes=(\d+)-(\d*)$/.exec(range);
  const ranged = asked !== null && !behaviour.noRanges;
  const start = ranged ? Number(asked[1]) : 0;
  const end = ranged && asked[2] ? Number(asked[2]) + 1 : bytes.length;
  if (start >= bytes.length) return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
  const body = Buffer.from(bytes.slice(start, end));
  if (behaviour.damaged) body[0] = 255 - (body[0] as number);
  response.writeHead(ranged ? 206 : 200, {
    "content-length": body.length,
    ...(ranged ? { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` } : {}),
  });
  if (behaviour.breakAfter === undefined || behaviour.breakAfter >= body.length) return void response.end(body);
  response.write(body.subarray(0, behaviour.breakAfter), () => setTimeout(() => response.destroy(), 20)); // let the bytes arrive first
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
