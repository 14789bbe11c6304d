// Answers of this device that become samples for the hub to learn from: hears of each finished request, keeps a reference to those
// that are chosen and allowed, and does all work on them later, so that the request that gave them does not wait for it. What is
// under way is bounded in entries and bytes; what does not fit is dropped and counted. Nothing here can fail a request.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import type { PrivacyDecisions } from '../privacy/privacy-decisions.js';
import type { AnswerObserver, FinishedRequest, OwnAnswer } from '../telemetry/answer-observer.js';
import { CaptureCounts, type CaptureTotals } from './capture-counts.js';
import { takeTokens, type Bucket } from './capture-rate.js';
import { CaptureSender, type CapturePermission } from './capture-sender.js';
import { CaptureStore } from './capture-store.js';
import { chooseRows, rowCount, type ChosenRow } from './choose-rows.js';
import { rowSamples, withoutLargeOutputs, type AnswerFacts } from './row-samples.js';

interface CapturesOptions {
  readonly dataDir: string;
  /** Of what waits on disk. */
  readonly limitBytes: number;
}

interface CapturesModules {
  readonly privacy: Pick<PrivacyDecisions, 'ask'>;
  /** Has the device heard what it should run? Until then a model that isn't here may still come. */
  readonly heard: () => boolean;
  /** Resolves when the hub has the sample; rejects with DeviceApiError. */
  readonly send: (hex: string, body: Uint8Array, signal: AbortSignal) => Promise<void>;
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Entry {
  readonly facts: AnswerFacts;
  readonly own: OwnAnswer;
  readonly rowCount: number;
  readonly rows: readonly ChosenRow[];
  readonly keptBytes: number;
}

export interface CaptureStatus extends CaptureTotals {
  readonly waiting: { readonly count: number; readonly bytes: number };
}

/** Requests whose samples are yet to be written. */
export const LIMIT_QUEUE_ENTRIES = 256;
/** Buffers that they keep alive. */
const LIMIT_QUEUE_BYTES = 32 * 1024 * 1024;
/** By then the answer has been written; and requests that come together are handled together. */
export const WRITE_AFTER_MS = 20;

export class Captures implements AnswerObserver {
  readonly #options: CapturesOptions;
  readonly #m: CapturesModules;
  readonly #counts = new CaptureCounts();
  readonly #buckets = new Map<string, Bucket>();
  #queue: Entry[] = [];
  #queueBytes = 0;
  #store: CaptureStore | undefined;
  #sender: CaptureSender | undefined;
  #opening: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #stopped = false;

  constructor(options: CapturesOptions, modules: CapturesModules) {
    this.#options = options;
    this.#m = modules;
  }

  /** Opens what waits in the background, then sends. Serving waits for none of it. */
  start(): void {
    this.#opening = this.#open();
  }

  /** Writes what is queued, so that the next start finds it; nothing more is captured. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#opening;
    await this.#sender?.stop();
    await this.#writing;
    await this.#write();
  }

  /** The hub was heard: what waits may be sent, or may have to be deleted. */
  hubHeard(): void {
    this.#sender?.hubHeard();
  }

  get status(): CaptureStatus {
    const waiting = { count: this.#store?.count ?? 0, bytes: this.#store?.storedBytes ?? 0 };
    return { ...this.#counts.totals, waiting };
  }

  finished({ model, versionDigest, variantDigest, outcome, own }: FinishedRequest): void {
    if (own === undefined || this.#stopped || (outcome !== 'edge' && outcome !== 'hub')) return;
    const count = rowCount(own);
    const chosen = chooseRows(own, count, this.#m.random);
    if (chosen.length === 0 || !this.#m.privacy.ask(model, 'capture', own.yaml.privacy).allowed) return;
    const rows = this.#withinRate(model, own.yaml.capture.perMinute, chosen);
    if (rows.length === 0) return;
    const kept = withoutLargeOutputs(own, count);
    const keptBytes = buffersOf(kept);
    if (this.#queue.length >= LIMIT_QUEUE_ENTRIES || this.#queueBytes + keptBytes > LIMIT_QUEUE_BYTES) {
      this.#counts.dropped('queue-full', rows.length);
      return;
    }
    const facts = { model, versionDigest, variantDigest, capturedAtMs: Math.max(0, this.#m.clock.nowMs()) };
    this.#queue.push({ facts, own: kept, rowCount: count, rows, keptBytes });
    this.#queueBytes += keptBytes;
    this.#writeSoon();
  }

  #withinRate(model: string, perMinute: number, chosen: readonly ChosenRow[]): readonly ChosenRow[] {
    const nowMs = this.#m.clock.monotonicMs();
    const { granted, bucket } = takeTokens(this.#buckets.get(model), perMinute, chosen.length, nowMs);
    this.#buckets.set(model, bucket);
    if (granted < chosen.length) this.#counts.dropped('rate', chosen.length - granted);
    return chosen.slice(0, granted);
  }

  async #open(): Promise<void> {
    const { files, log, clock, random, send } = this.#m;
    const counts = this.#counts;
    try {
      const store = await CaptureStore.open(this.#options, { files, counts, log });
      this.#store = store;
      if (store.count > 0)
        log.info({ count: store.count, bytes: store.storedBytes }, 'captured samples wait for the hub');
      if (this.#stopped) return;
      const permission = (model: string): CapturePermission => this.#permission(model);
      this.#sender = new CaptureSender({ store, counts, send, permission, clock, random, log });
      this.#sender.start();
    } catch (cause) {
      log.error({ error: (cause as Error).message }, 'captured samples can not be kept: nothing is captured');
    }
  }

  #permission(model: string): CapturePermission {
    if (this.#m.privacy.ask(model, 'capture').allowed) return 'allowed';
    return this.#m.heard() ? 'forbidden' : 'unknown';
  }

  #writeSoon(): void {
    if (this.#cancelTimer !== undefined || this.#writing !== undefined) return;
    this.#cancelTimer = this.#m.clock.after(WRITE_AFTER_MS, () => {
      this.#cancelTimer = undefined;
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined;
        if (this.#queue.length > 0 && !this.#stopped) this.#writeSoon();
      });
    });
  }

  async #write(): Promise<void> {
    await this.#opening;
    for (let entry = this.#queue.shift(); entry !== undefined; entry = this.#queue.shift()) {
      try {
        await this.#writeRows(entry);
      } finally {
        this.#queueBytes -= entry.keptBytes;
      }
    }
  }

  async #writeRows({ own, rowCount: count, rows, facts }: Entry): Promise<void> {
    const store = this.#store;
    if (store === undefined) return this.#counts.dropped('not-open', rows.length);
    const samples = this.#encoding(() => rowSamples(own, count));
    if (samples === undefined) return this.#counts.dropped('too-large', rows.length);
    for (const row of rows) {
      const body = this.#encoding(() => samples.encode(row, facts));
      if (body === undefined) this.#counts.dropped('too-large');
      else if (await store.add(body, { model: facts.model, reason: row.reason })) {
        this.#counts.captured(facts.model, row.reason);
        this.#sender?.wake();
      }
    }
  }

  /** Undefined for what no sample can hold. */
  #encoding<T>(encode: () => T): T | undefined {
    try {
      return encode();
    } catch (cause) {
      this.#m.log.debug({ error: (cause as Error).message }, 'an answer could not become a sample');
      return undefined;
    }
  }
}

/** Bytes of the buffers behind the tensors: a small view may keep a large body alive. */
function buffersOf({ inputs, outputs }: OwnAnswer): number {
  const buffers = new Set([...inputs, ...outputs].map(({ data }) => data.buffer));
  return [...buffers].reduce((sum, buffer) => sum + buffer.byteLength, 0);
}
