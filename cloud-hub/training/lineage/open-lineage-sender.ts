// Sends OpenLineage events to a URL, in order, one at a time, and never holds a job up for it: the queue is bounded, an event is tried a few
// times and then given up with a line in the log. What the receiver misses is in the hub's own lineage all the same.
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { request } from 'undici';
import type { RunEvent } from './open-lineage-event.js';

const LIMIT_QUEUE = 1000;
const ATTEMPTS = 4;
const RETRY_DELAY_MS = 1_000;
const TIMEOUT_MS = 10_000;

export class OpenLineageSender {
  readonly #url: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #queue: RunEvent[] = [];
  readonly #stop = new AbortController();
  #sending: Promise<void> | undefined;

  constructor(url: string, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#url = url;
    this.#clock = clock;
    this.#log = log;
  }

  /** Returns at once. Of a full queue the oldest event is given up. */
  send(event: RunEvent): void {
    if (this.#stop.signal.aborted) return;
    if (this.#queue.length >= LIMIT_QUEUE) this.#giveUp(this.#queue.shift(), 'too many wait');
    this.#queue.push(event);
    this.#sending ??= this.#drain();
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  /** Gives up what waits. */
  async close(): Promise<void> {
    this.#stop.abort(new Error('the hub stops'));
    await this.idle();
  }

  async #drain(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) await this.#deliver(next);
    this.#sending = undefined; // in the same turn as the empty queue: what is sent from here on begins anew
  }

  async #deliver(event: RunEvent): Promise<void> {
    const { signal } = this.#stop;
    let reason = 'the hub stops';
    for (let attempt = 1; attempt <= ATTEMPTS && !signal.aborted; attempt += 1) {
      try {
        const status = await this.#post(event, signal);
        if (status < 300) return;
        reason = `${this.#url} answered ${status}`;
        if (status < 500 && status !== 408 && status !== 429) break; // it won't like it better the next time
      } catch (cause) {
        reason = cause instanceof Error ? cause.message : String(cause);
      }
      if (attempt < ATTEMPTS)
        await delay(this.#clock, RETRY_DELAY_MS * 2 ** (attempt - 1), signal).catch(() => undefined);
    }
    this.#giveUp(event, reason);
  }

  async #post(event: RunEvent, signal: AbortSignal): Promise<number> {
    const { statusCode, body } = await request(this.#url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(event),
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      signal,
    });
    await body.dump();
    return statusCode;
  }

  #giveUp(event: RunEvent | undefined, reason: string): void {
    this.#log.warn({ eventType: event?.eventType, run: event?.run.runId, reason }, 'an OpenLineage event is given up');
  }
}
