// Sends spans to an OTLP receiver over HTTP (OTLP 1.x, `POST /v1/traces`, JSON): a collector, Jaeger, Tempo. Tracing is never in
// the way of serving: `add` only puts into a queue of bounded length, beyond it spans are dropped and counted; batches go out one
// at a time, and what fails for the moment (no connection, 429, 502, 503, 504) is tried again with growing waits, then given up.
import { request as send } from 'undici';
import { fullJitterMs } from '../system/backoff.js';
import type { Clock } from '../system/clock.js';
import type { Log } from '../system/log.js';
import type { Random } from '../system/random.js';
import { otlpJson, type Teller } from './otlp-json.js';
import type { FinishedSpan } from './span.js';

interface OtlpExporterOptions {
  /** The receiver's base address, as OTEL_EXPORTER_OTLP_ENDPOINT has it, or the whole one of `/v1/traces`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly teller: Teller;
}

interface OtlpExporterModules {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Spans since the start. */
export interface SpanCounts {
  readonly exported: number;
  /** The queue was full, or the program ended. */
  readonly dropped: number;
  /** Refused by the receiver, or given up. */
  readonly failed: number;
}

export const LIMIT_WAITING_SPANS = 2048;
export const BATCH_SPANS = 512;
export const EXPORT_EVERY_MS = 2000;
const ATTEMPTS_MAX = 6;
const TIMEOUT_MS = 10_000;
const BACKOFF = { baseMs: 1000, maxMs: 30_000 };
/** Of an answer, which is some words long. */
const ANSWER_BYTES_MAX = 64 * 1024;
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

type Outcome = { readonly is: 'taken' | 'refused' | 'later'; readonly why: string; readonly rejected: number };

export class OtlpExporter {
  readonly #url: string;
  readonly #options: OtlpExporterOptions;
  readonly #modules: OtlpExporterModules;
  readonly #counts = { exported: 0, dropped: 0, failed: 0 };
  readonly #closing = new AbortController();
  readonly #waiting: FinishedSpan[] = [];
  #sending: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  /** Of the batch at the head of the queue. */
  #attempts = 0;

  constructor(options: OtlpExporterOptions, modules: OtlpExporterModules) {
    const base = options.endpoint.replace(/\/+$/, '');
    this.#url = base.endsWith('/v1/traces') ? base : `${base}/v1/traces`;
    this.#options = options;
    this.#modules = modules;
  }

  get counts(): SpanCounts {
    return this.#counts;
  }

  add(span: FinishedSpan): void {
    if (this.#waiting.length >= LIMIT_WAITING_SPANS || this.#closing.signal.aborted) {
      this.#counts.dropped += 1;
      return;
    }
    this.#waiting.push(span);
    if (this.#attempts === 0 && this.#waiting.length >= BATCH_SPANS) this.#exportAfter(0);
    else if (this.#cancelTimer === undefined) this.#exportAfter(EXPORT_EVERY_MS);
  }

  /** Sends what waits, once and within `timeoutMs`; the rest is dropped. */
  async close(timeoutMs: number): Promise<void> {
    this.#cancelTimer?.();
    const cancel = this.#modules.clock.after(timeoutMs, () => this.#closing.abort());
    await this.#sending;
    while (this.#waiting.length > 0 && !this.#closing.signal.aborted) {
      if (!(await this.#exportBatch())) break;
    }
    cancel();
    this.#closing.abort();
    this.#cancelTimer?.();
    this.#counts.dropped += this.#waiting.splice(0).length;
  }

  #exportAfter(delayMs: number): void {
    if (this.#sending !== undefined || this.#closing.signal.aborted) return; // the batch under way looks for more itself
    this.#cancelTimer?.();
    this.#cancelTimer = this.#modules.clock.after(delayMs, () => {
      this.#cancelTimer = undefined;
      this.#sending = this.#exportBatch().then(() => {
        this.#sending = undefined;
        if (this.#attempts > 0) this.#exportAfter(fullJitterMs(this.#attempts - 1, BACKOFF, this.#modules.random));
        else if (this.#waiting.length > 0) this.#exportAfter(this.#waiting.length >= BATCH_SPANS ? 0 : EXPORT_EVERY_MS);
      });
    });
  }

  /** False where the batch stays to be tried again. */
  async #exportBatch(): Promise<boolean> {
    const batch = this.#waiting.slice(0, BATCH_SPANS);
    const { is, why, rejected } = await this.#post(otlpJson(batch, this.#options.teller));
    this.#attempts += 1;
    if (is === 'later' && this.#attempts < ATTEMPTS_MAX) {
      this.#modules.log.warn({ url: this.#url, why }, 'spans could not be sent, and wait');
      return false;
    }
    this.#attempts = 0;
    this.#waiting.splice(0, batch.length);
    const lost = is === 'taken' ? Math.min(rejected, batch.length) : batch.length;
    this.#counts.exported += batch.length - lost;
    this.#counts.failed += lost;
    if (lost > 0) this.#modules.log.warn({ url: this.#url, spans: lost, why }, 'the receiver did not take spans');
    return true;
  }

  async #post(body: string): Promise<Outcome> {
    const abort = new AbortController();
    const onClose = (): void => abort.abort();
    const cancel = this.#modules.clock.after(TIMEOUT_MS, onClose);
    this.#closing.signal.addEventListener('abort', onClose, { once: true });
    try {
      const headers = { ...this.#options.headers, 'content-type': 'application/json' };
      const answer = await send(this.#url, { method: 'POST', headers, body, signal: abort.signal });
      const text = await readText(answer.body);
      const { statusCode } = answer;
      if (statusCode >= 200 && statusCode < 300) return { is: 'taken', ...partialSuccess(text) };
      const why = `it answered ${statusCode}: ${text.slice(0, 200)}`;
      return { is: RETRYABLE.has(statusCode) ? 'later' : 'refused', why, rejected: 0 };
    } catch (error) {
      return { is: 'later', why: error instanceof Error ? error.message : String(error), rejected: 0 };
    } finally {
      cancel();
      this.#closing.signal.removeEventListener('abort', onClose);
    }
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of body) {
    total += chunk.byteLength;
    if (total > ANSWER_BYTES_MAX) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** ExportTracePartialSuccess: how many were not taken though the rest was. */
function partialSuccess(text: string): { why: string; rejected: number } {
  try {
    const { partialSuccess: partial } = JSON.parse(text) as { partialSuccess?: { rejectedSpans?: unknown } };
    const rejected = Number(partial?.rejectedSpans ?? 0);
    return { why: text.slice(0, 200), rejected: Number.isSafeInteger(rejected) && rejected > 0 ? rejected : 0 };
  } catch {
    return { why: '', rejected: 0 }; // some receivers answer nothing: the status says it
  }
}
