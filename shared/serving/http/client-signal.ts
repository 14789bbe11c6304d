// The AbortSignal of a request says that its client went away. Over HTTP/1.1 that is the end of its connection, so the requests of a
// connection share one: making a signal for each takes longer than looking up a cached answer. It is made anew after so many
// requests, once none is under way: what listens to it without ever leaving (AbortSignal.any does) is bounded by that.
import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { ServingError } from '../serving-error.js';

const LIMIT_USES = 256;

/** One connection's client. */
class Client {
  #abort: AbortController | undefined;
  #uses = 0;
  #underWay = 0;

  constructor(socket: Socket) {
    socket.once('close', () => {
      if (this.#underWay > 0) this.#abort?.abort(new ServingError('cancelled', 'the client went away'));
    });
  }

  /** A request begins; `leave` must follow when it ends. */
  enter(): AbortSignal {
    this.#underWay += 1;
    this.#uses += 1;
    this.#abort ??= newAbort();
    return this.#abort.signal;
  }

  leave(): void {
    this.#underWay -= 1;
    if (this.#underWay > 0 || this.#uses < LIMIT_USES) return;
    this.#abort = undefined;
    this.#uses = 0;
  }
}

const clients = new WeakMap<Socket, Client>();

export function clientOf(socket: Socket): Client {
  let client = clients.get(socket);
  if (client === undefined) clients.set(socket, (client = new Client(socket)));
  return client;
}

/** Pipelined requests listen at once: as many as there are is no leak. */
function newAbort(): AbortController {
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  return abort;
}
