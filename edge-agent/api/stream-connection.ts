// One WebSocket connection: frames in, answers out, each as soon as it is there. Invariants: at most `inFlightMax` requests
// are under way, a request counts until its answer has been written to the socket, and beyond them the socket is not read,
// so a caller that sends too fast or reads too slowly waits and costs nothing; when the connection ends, its requests are
// cancelled; each request gets one frame back.
import { setMaxListeners } from 'node:events';
import type { RawData, WebSocket } from 'ws';
import type { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import type { InferExchange, ReceivedInfer } from '@tidegate/shared/serving/http/infer-exchange.js';
import { memoryAccess } from '@tidegate/shared/serving/http/memory-access.js';
import { OVER_WEBSOCKET } from '@tidegate/shared/serving/request-trace.js';
import { asServingError, ServingError, shuttingDown } from '@tidegate/shared/serving/serving-error.js';
import type { SharedMemoryRegions } from '@tidegate/shared/serving/shared-memory.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { answerFrame, errorFrame, idOf, readFrame, type FrameBody } from './stream-frame.js';

export interface StreamLimits {
  /** Requests of one connection that are under way; beyond, its socket is not read. */
  readonly inFlightMax: number;
  /** A frame. Beyond: the connection is closed with 1009. */
  readonly frameBytesMax: number;
  /** An input that lies in shared memory. Beyond: the request is refused. */
  readonly sharedBytesMax: number;
  /** How often a ping goes out; a connection that did not answer the one before is cut. */
  readonly pingIntervalMs: number;
  /** A connection with nothing under way for so long is closed with 1000. */
  readonly idleTimeoutMs: number;
}

/** What holds for all frames of a connection. Its sequences are its own, and end with it. */
export interface StreamTarget extends Pick<ReceivedInfer, 'headers' | 'model' | 'version'> {
  readonly scope: string;
  /** The caller is on this machine. */
  readonly local: boolean;
}

interface StreamModules {
  readonly exchange: InferExchange;
  readonly budget: BodyBudget;
  readonly sharedMemory: SharedMemoryRegions | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

const CLOSE_IDLE = 1000;
const CLOSE_GOING_AWAY = 1001;

export class StreamConnection {
  readonly #socket: WebSocket;
  readonly #target: StreamTarget;
  readonly #limits: StreamLimits;
  readonly #modules: StreamModules;
  readonly #abort = new AbortController();
  /** Frames that had been read from the socket before it was paused. */
  readonly #waiting: { readonly frame: Buffer; readonly binary: boolean }[] = [];
  #inFlight = 0;
  #draining = false;
  #alive = true;
  #lastEndMs: number;
  #cancelTimer: () => void;

  constructor(socket: WebSocket, target: StreamTarget, limits: StreamLimits, modules: StreamModules) {
    this.#socket = socket;
    this.#target = target;
    this.#limits = limits;
    this.#modules = modules;
    setMaxListeners(0, this.#abort.signal); // those of `inFlightMax` requests: no leak, as Node would warn
    this.#lastEndMs = modules.clock.monotonicMs();
    this.#cancelTimer = modules.clock.after(limits.pingIntervalMs, () => this.#look());
    socket.on('message', (data: RawData, binary: boolean) => this.#take(data as Buffer, binary));
    socket.on('pong', () => (this.#alive = true));
    socket.on('error', (error) => modules.log.debug({ error: error.message }, 'a stream broke'));
    socket.on('close', () => {
      this.#cancelTimer();
      this.#waiting.length = 0;
      this.#abort.abort(new ServingError('cancelled', 'the client went away'));
    });
  }

  /** Requests under way. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Frames from now on are refused; closes with 1001 when what was accepted has been answered. */
  drain(): void {
    this.#draining = true;
    this.#endIfDrained();
  }

  #take(frame: Buffer, binary: boolean): void {
    if (this.#inFlight >= this.#limits.inFlightMax) {
      this.#socket.pause();
      this.#waiting.push({ frame, binary });
      return;
    }
    this.#inFlight += 1;
    void this.#answer(frame, binary).finally(() => {
      this.#inFlight -= 1;
      this.#lastEndMs = this.#modules.clock.monotonicMs();
      const next = this.#waiting.shift();
      if (next !== undefined) this.#take(next.frame, next.binary);
      else if (this.#socket.isPaused) this.#socket.resume();
      this.#endIfDrained();
    });
  }

  async #answer(frame: Buffer, binary: boolean): Promise<void> {
    const { exchange, budget, sharedMemory, clock, log } = this.#modules;
    const { headers, model, version, scope, local } = this.#target;
    const arrivedMs = clock.monotonicMs();
    const share = budget.open();
    const memory = memoryAccess(sharedMemory, local, { bodyBytesMax: this.#limits.sharedBytesMax, share });
    let body: FrameBody | undefined;
    try {
      if (this.#draining) throw shuttingDown();
      body = readFrame(frame, binary);
      share.grow(frame.byteLength);
      const target = { entrance: OVER_WEBSOCKET, headers, model, version, scope, identity: undefined };
      const received = { ...target, arrivedMs, memory, ...body };
      const sent = await exchange.answer(received, this.#abort.signal);
      await this.#send(answerFrame(sent.body));
    } catch (error) {
      await this.#send(
        errorFrame(body === undefined ? undefined : idOf(body), asServingError(error, log, 'a request of a stream')),
      );
    } finally {
      memory.release();
      share.release();
    }
  }

  /** Resolves when the socket took it, or is gone. */
  #send(frame: string | Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.readyState !== this.#socket.OPEN) resolve();
      else this.#socket.send(frame, () => resolve());
    });
  }

  #look(): void {
    const { clock } = this.#modules;
    const { pingIntervalMs, idleTimeoutMs } = this.#limits;
    if (!this.#alive && !this.#socket.isPaused) {
      this.#socket.terminate();
      return;
    }
    if (this.#inFlight === 0 && clock.monotonicMs() - this.#lastEndMs >= idleTimeoutMs) {
      this.#socket.close(CLOSE_IDLE, 'idle');
    } else {
      this.#alive = this.#socket.isPaused; // whose socket isn't read, can't be seen to answer
      this.#socket.ping();
    }
    this.#cancelTimer = clock.after(pingIntervalMs, () => this.#look());
  }

  #endIfDrained(): void {
    if (this.#draining && this.#inFlight === 0) this.#socket.close(CLOSE_GOING_AWAY, 'the server is shutting down');
  }
}
