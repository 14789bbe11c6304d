// The agent's unix socket (contract.md, --unix-socket): the file's mode is who may call. It is there with that mode from the
// first moment, since bind takes the mask. A socket file that nobody listens on any more (a killed agent's) makes room;
// anything else at the path is left alone and stops the start. The file goes when the server closes.
import { lstat, unlink } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import {
  HttpServerError,
  IDLE_GRACE_MS,
  startHttpServer,
  type HttpServer,
} from '@tidegate/shared/serving/http/http-server.js';

const FLAG = '--unix-socket';
/** What bind takes away from 0777: the socket of its owner (0600), or of its owner and group (0660). */
const MASKS = { owner: 0o177, group: 0o117 } as const;

interface UnixSocketOptions {
  readonly path: string;
  /** Who may call: the agent's user, or also the group of the file. */
  readonly access: keyof typeof MASKS;
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
}

/** Rejects with HttpServerError: `port-taken` where somebody listens there, `address-unusable` for what is no socket. */
export async function listenOnUnixSocket({ path, access, handler }: UnixSocketOptions): Promise<HttpServer> {
  await makeRoom(path);
  const before = process.umask(MASKS[access]);
  try {
    return await startHttpServer({ handler, listen: { path }, flag: FLAG, limits: { idleGraceMs: IDLE_GRACE_MS } }); // binds before it first waits
  } finally {
    process.umask(before);
  }
}

async function makeRoom(path: string): Promise<void> {
  const found = await lstat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw unusable(`${path} can't be looked at (${cause.code})`, cause);
  });
  if (found === undefined) {
    const folder = dirname(path);
    const cause: unknown = await lstat(folder).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (cause !== undefined) throw unusable(`the folder ${folder} does not exist`, cause); // bind speaks of permissions
    return;
  }
  if (!found.isSocket()) throw unusable(`${path} is there already, and is no socket`);
  const answer = await knock(path);
  if (answer === 'listening') throw new HttpServerError('port-taken', `${FLAG}: ${path} is taken by another program`);
  if (answer.code === 'ENOENT') return; // gone meanwhile
  if (answer.code !== 'ECONNREFUSED') throw unusable(`${path} is there already (${answer.code})`, answer);
  await unlink(path);
}

function knock(path: string): Promise<'listening' | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve('listening');
    });
    socket.once('error', resolve);
  });
}

function unusable(text: string, cause?: unknown): HttpServerError {
  return new HttpServerError('address-unusable', `${FLAG}: ${text}`, { cause });
}
