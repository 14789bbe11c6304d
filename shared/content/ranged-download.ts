// Downloads one blob over HTTP into the content store, continuing where an earlier attempt, or an earlier run of the program,
// stopped. The server is not trusted: whatever it sends, only bytes with the expected digest become a blob.
//
// A connection that died, stalled (field lesson B7) or answered 5xx is dialled again with full jitter. Attempts that brought
// nothing new are counted and bounded; one that brought bytes starts the count anew, so a bad link gets there in the end. A
// server that ignores `Range` costs bandwidth, not correctness: its first bytes are skipped.
import { request, type Dispatcher } from 'undici';
import { fullJitterMs, type BackoffPolicy } from '../system/backoff.js';
import { delay, type Clock } from '../system/clock.js';
import type { Random } from '../system/random.js';
import { hexOf, type Digest } from '../wire/digest.js';
import { ContentError } from './content-error.js';
import type { ContentStore } from './content-store.js';
import type { PartialFile } from './partial-file.js';

export interface DownloadPolicy {
  /** Attempts in a row without a new byte before giving up. */
  readonly fruitlessAttemptsMax: number;
  readonly backoff: BackoffPolicy;
  /** A stream that brings less than `stallBytes` within `stallMs` is cut and dialled again. */
  readonly stallMs: number;
  readonly stallBytes: number;
  readonly headersTimeoutMs: number;
}

export const DEFAULT_DOWNLOAD_POLICY: DownloadPolicy = {
  fruitlessAttemptsMax: 6,
  backoff: { baseMs: 500, maxMs: 30_000 },
  stallMs: 30_000,
  stallBytes: 30 * 1024,
  headersTimeoutMs: 15_000,
};

interface DownloadRequest {
  readonly url: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Grows only, over attempts and restarts, until `sizeBytes`; falls to 0 only when the bytes were wrong and discarded. */
  readonly onProgress?: (receivedBytes: number, sizeBytes: number) => void;
}

export interface DownloadModules {
  readonly store: ContentStore;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly random: Random;
  readonly policy?: DownloadPolicy;
}

interface DownloadOutcome {
  /** Bytes that came over the network in this call, wasted ones included. */
  readonly transferredBytes: number;
  /** Bytes that an earlier call had left. */
  readonly resumedBytes: number;
  readonly attempts: number;
}

/**
 * Resolves when the blob is in the store (at once where it is already). Rejects with ContentError `no-space`,
 * `digest-mismatch`, `size-mismatch`, `refused`, `unreachable`, `busy`, or with the signal's reason. What came so far is
 * kept for the next call unless it was wrong.
 */
export async function downloadBlob(
  wanted: DownloadRequest,
  modules: DownloadModules,
  signal: AbortSignal,
): Promise<DownloadOutcome> {
  if (await modules.store.has(wanted.digest)) return { transferredBytes: 0, resumedBytes: 0, attempts: 0 };
  const partial = await modules.store.resume(wanted);
  try {
    return await new Download(wanted, modules, partial, signal).run();
  } finally {
    await partial.pause();
  }
}

class Download {
  readonly #wanted: DownloadRequest;
  readonly #modules: DownloadModules;
  readonly #policy: DownloadPolicy;
  readonly #partial: PartialFile;
  readonly #signal: AbortSignal;
  readonly #resumedBytes: number;
  #transferredBytes = 0;
  #attempts = 0;

  constructor(wanted: DownloadRequest, modules: DownloadModules, partial: PartialFile, signal: AbortSignal) {
    this.#wanted = wanted;
    this.#modules = modules;
    this.#policy = modules.policy ?? DEFAULT_DOWNLOAD_POLICY;
    this.#partial = partial;
    this.#signal = signal;
    this.#resumedBytes = partial.offsetBytes;
  }

  async run(): Promise<DownloadOutcome> {
    await this.#receiveAll();
    if (this.#resumedBytes > 0 && !(await this.#partial.isRight())) {
      // The part that an earlier run left may be what is wrong: a power cut can leave holes. Once more, from the start.
      await this.#partial.restart();
      this.#report();
      await this.#receiveAll();
    }
    await this.#partial.finish();
    return { transferredBytes: this.#transferredBytes, resumedBytes: this.#resumedBytes, attempts: this.#attempts };
  }

  async #receiveAll(): Promise<void> {
    let fruitless = 0;
    while (this.#partial.offsetBytes < this.#wanted.sizeBytes) {
      const before = this.#partial.offsetBytes;
      let waitMs = 0;
      try {
        this.#signal.throwIfAborted();
        this.#attempts += 1;
        await this.#attempt();
        continue;
      } catch (cause) {
        this.#signal.throwIfAborted();
        if (cause instanceof ContentError) throw cause;
        fruitless = this.#partial.offsetBytes > before ? 0 : fruitless + 1;
        if (fruitless >= this.#policy.fruitlessAttemptsMax) {
          throw new ContentError('unreachable', `${this.#wanted.url}: gave up after ${fruitless} attempts`, { cause });
        }
        waitMs = fullJitterMs(fruitless, this.#policy.backoff, this.#modules.random);
        if (cause instanceof RetryAfter) waitMs = Math.max(waitMs, Math.min(cause.waitMs, this.#policy.backoff.maxMs));
      }
      await delay(this.#modules.clock, waitMs, this.#signal);
    }
  }

  /** One connection. Resolves when all bytes are there; rejects with ContentError where dialling again is no use. */
  async #attempt(): Promise<void> {
    const offset = this.#partial.offsetBytes;
    const attempt = new AbortController();
    const watch = new StallWatch(this.#modules.clock, this.#policy, attempt);
    const signal = AbortSignal.any([this.#signal, attempt.signal]);
    try {
      const response = await request(this.#wanted.url, {
        dispatcher: this.#modules.dispatcher,
        signal,
        headersTimeout: this.#policy.headersTimeoutMs,
        bodyTimeout: 0, // the watch is stricter
        headers:
          offset === 0
            ? { 'accept-encoding': 'identity' }
            : {
                'accept-encoding': 'identity',
                range: `bytes=${offset}-`,
                'if-range': `"${hexOf(this.#wanted.digest)}"`,
              },
      });
      const skipBytes = await this.#bytesToSkip(response, offset);
      await this.#copy(response.body, skipBytes, watch);
      if (this.#partial.offsetBytes < this.#wanted.sizeBytes) throw new Error('the answer ended early');
    } catch (cause) {
      throw attempt.signal.aborted ? attempt.signal.reason : cause;
    } finally {
      watch.stop();
    }
  }

  /** Bytes at the start of this answer's body that are already in the partial file. */
  async #bytesToSkip(response: Dispatcher.ResponseData, offset: number): Promise<number> {
    const { statusCode, headers } = response;
    if (statusCode === 200) return offset;
    if (statusCode === 206) {
      const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(String(headers['content-range'] ?? ''));
      const start = Number(range?.[1] ?? -1);
      const total = range?.[3];
      if (start < 0 || start > offset || (total !== '*' && Number(total) !== this.#wanted.sizeBytes)) {
        response.body.destroy();
        throw new ContentError(
          'refused',
          `${this.#wanted.url}: content-range ${headers['content-range']} is not the one asked for`,
        );
      }
      return offset - start;
    }
    await response.body.dump({ limit: 64 * 1024 });
    if (statusCode === 416) {
      await this.#partial.restart();
      throw new Error('the server does not have this range');
    }
    if (statusCode === 429 || statusCode === 503) {
      throw new RetryAfter(statusCode, Number(headers['retry-after'] ?? 0) * 1000 || 0);
    }
    if (statusCode >= 500 || statusCode === 408) throw new Error(`${this.#wanted.url} answered ${statusCode}`);
    throw new ContentError('refused', `${this.#wanted.url} answered ${statusCode}`);
  }

  async #copy(body: AsyncIterable<Uint8Array>, skipBytes: number, watch: StallWatch): Promise<void> {
    let toSkip = skipBytes;
    for await (const chunk of body) {
      watch.received(chunk.byteLength);
      this.#transferredBytes += chunk.byteLength;
      if (chunk.byteLength <= toSkip) {
        toSkip -= chunk.byteLength;
        continue;
      }
      await this.#write(chunk.subarray(toSkip));
      toSkip = 0;
      this.#report();
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#partial.write(bytes);
    } catch (cause) {
      if (cause instanceof ContentError && cause.code === 'size-mismatch') await this.#partial.discard();
      throw cause;
    }
  }

  #report(): void {
    this.#wanted.onProgress?.(this.#partial.offsetBytes, this.#wanted.sizeBytes);
  }
}

/** Not an error of the content: the server is busy and says for how long. */
class RetryAfter extends Error {
  readonly waitMs: number;
  constructor(statusCode: number, waitMs: number) {
    super(`the server answered ${statusCode}`);
    this.waitMs = waitMs;
  }
}

/** Aborts a connection that brings less than the policy's least bytes per window. */
class StallWatch {
  readonly #clock: Clock;
  readonly #policy: DownloadPolicy;
  readonly #attempt: AbortController;
  #windowBytes = 0;
  #cancel: () => void;

  constructor(clock: Clock, policy: DownloadPolicy, attempt: AbortController) {
    this.#clock = clock;
    this.#policy = policy;
    this.#attempt = attempt;
    this.#cancel = this.#arm();
  }

  received(bytes: number): void {
    this.#windowBytes += bytes;
  }

  stop(): void {
    this.#cancel();
  }

  #arm(): () => void {
    return this.#clock.after(this.#policy.stallMs, () => {
      if (this.#windowBytes < this.#policy.stallBytes) {
        this.#attempt.abort(new Error(`stalled: ${this.#windowBytes} bytes within ${this.#policy.stallMs} ms`));
        return;
      }
      this.#windowBytes = 0;
      this.#cancel = this.#arm();
    });
  }
}
