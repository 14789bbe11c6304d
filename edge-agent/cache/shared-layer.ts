// The hub's shared layer, as a device sees it: asked when memory and disk have nothing, before computing, where that can pay
// (shared-wait.ts); told what was computed here. Only of models whose `privacy.answers` allows it, which the caller has asked may-leave.ts.
//
// What keeps it from doing harm: its own breaker and the bound of shared-wait.ts, so that a hub that hangs costs two waits; a device that
// loses by asking stands aside (self-bypass.ts); what comes is checked to be of the very variant; and a share of what the hub gives is
// computed anyway: where that differs, the hub's answers of that model are not taken any more until the agent starts again.
// Offers wait in a bounded queue, go out one at a time, and are lost rather than late.
import { createHash } from 'node:crypto';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { LIMIT_SHARED_ANSWER_BYTES } from '@tidegate/shared/wire/shared-answer.js';
import { afterCall, CLOSED_BREAKER, tryCall, type BreakerOptions, type BreakerState } from '../router/breaker.js';
import { decodeAnswer, encodeAnswer } from './answer-record.js';
import {
  isSelected,
  type CachedAnswer,
  type CacheHit,
  type CacheLabels,
  type CacheLayerCounts,
  type CacheSelection,
} from '@tidegate/shared/cache/cache-layer.js';
import { areEqualAnswers } from './equal-answers.js';
import { SelfBypass } from '@tidegate/shared/cache/self-bypass.js';
import { sharedWaitMs } from './shared-wait.js';

export interface SharedAnswer {
  readonly body: Uint8Array;
  readonly ageMs: number;
}

export interface AnswerOffer {
  readonly key: string;
  readonly labels: CacheLabels;
  readonly versionDigest: string;
  readonly variantDigest: string;
  readonly body: Uint8Array;
}

/** How the hub is reached. Rejects with any Error where it can't be asked, or refuses. */
export interface SharedAnswersLink {
  /** Undefined where the hub has none. */
  get(key: string, signal: AbortSignal): Promise<SharedAnswer | undefined>;
  offer(offer: AnswerOffer, signal: AbortSignal): Promise<void>;
}

export interface SharedQuestion {
  readonly key: string;
  readonly labels: CacheLabels;
  readonly variantDigest: string;
  /** What decides the bits beside variant and input: provider and engine. Devices that differ in it don't share. */
  readonly runsAs: string;
  readonly maxAgeMs: number;
  /** Monotonic. */
  readonly deadlineMs: number;
}

interface SharedLayerOptions {
  /** Kind of machine and version of the agent: devices that differ in it don't share. */
  readonly machine: string;
  readonly breaker: BreakerOptions;
}

interface Modules {
  readonly link: SharedAnswersLink;
  /** False while the hub is known not to answer. */
  readonly reachable: () => boolean;
  readonly clock: Clock;
  readonly log: Log;
}

const LIMIT_OFFERS = 64;
const LIMIT_OFFER_BYTES = 1024 * 1024;
const OFFER_TIMEOUT_MS = 10_000;
/** Of the hub's answers of a model the first and each so-manieth after it is computed anyway. */
const AUDIT_EVERY = 64;
const LIMIT_AUDITS = 64;
const LIMIT_MODELS = 256;
const GAIN = 1 / 8;

export class SharedLayer {
  readonly name = 'hub';
  readonly #options: SharedLayerOptions;
  readonly #modules: Modules;
  readonly #bypass = new SelfBypass();
  readonly #models = new Map<string, { runMs: number | undefined; hits: number; distrusted: boolean }>();
  readonly #audits = new Map<string, CachedAnswer>();
  readonly #offers = new Map<string, AnswerOffer>();
  #offerBytes = 0;
  #sending: Promise<void> | undefined;
  readonly #ends = new AbortController();
  #breaker: BreakerState = CLOSED_BREAKER;
  #counts = {
    hits: 0,
    misses: 0,
    stale: 0,
    stores: 0,
    evictions: 0,
    broken: 0,
    dropped: 0,
    audits: 0,
    disagreements: 0,
  };

  constructor(options: SharedLayerOptions, modules: Modules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** Undefined where the hub has none, is not asked, or doesn't answer in time. Never rejects. */
  async get(question: SharedQuestion, signal: AbortSignal): Promise<CacheHit | undefined> {
    const { clock } = this.#modules;
    const { model } = question.labels;
    const known = this.#model(model);
    const remainingMs = question.deadlineMs - clock.monotonicMs();
    const waitMs = sharedWaitMs({ runMs: known?.runMs, remainingMs });
    if (known === undefined || known.distrusted || waitMs === undefined || !this.#modules.reachable()) return undefined;
    const startedMs = clock.monotonicMs();
    const attempt = tryCall(this.#breaker, this.#options.breaker, startedMs);
    if (!attempt.allowed || this.#bypass.stepsAside(model)) return undefined;
    this.#breaker = attempt.state;
    const hit = await this.#ask(question, waitMs, signal);
    this.#bypass.looked(model, clock.monotonicMs() - startedMs, hit !== undefined);
    if (hit === undefined) return undefined;
    known.hits += 1;
    if ((known.hits - 1) % AUDIT_EVERY !== 0 || this.#audits.size >= LIMIT_AUDITS) return hit;
    this.#audits.set(question.key, hit.answer);
    return undefined;
  }

  /** What was computed after all: measured, compared where that was an audit, offered to the others. */
  computed(question: SharedQuestion, answer: CachedAnswer, computeMs: number): void {
    const { labels, key } = question;
    const known = this.#model(labels.model);
    if (known !== undefined) known.runMs = (known.runMs ?? computeMs) + GAIN * (computeMs - (known.runMs ?? computeMs));
    this.#bypass.computed(labels.model, computeMs, false);
    const expected = this.#audits.get(key);
    if (expected !== undefined) this.#judge(key, labels.model, expected, answer);
    // What is not worth asking for is not worth offering: every device measures alike.
    const remainingMs = Infinity;
    if (sharedWaitMs({ runMs: known?.runMs, remainingMs }) === undefined || this.#bypass.isAside(labels.model)) return;
    this.#enqueue(question, answer);
  }

  /** It was not computed after all: an audit of it says nothing. */
  failed({ key }: SharedQuestion): void {
    this.#audits.delete(key);
  }

  /** What others were given is the hub's; what was to be offered of it from here is not any more. */
  drop(selection: CacheSelection): void {
    for (const [key, offer] of this.#offers) if (isSelected(offer.labels, selection)) this.#takeOut(key, offer);
  }

  /** The entries are the hub's. */
  get counts(): CacheLayerCounts {
    return { ...this.#counts, entries: 0, sizeBytes: 0, limitBytes: 0 };
  }

  /** Gives up what was to be offered. */
  async close(): Promise<void> {
    this.#ends.abort();
    await this.#sending;
  }

  async #ask(question: SharedQuestion, waitMs: number, signal: AbortSignal): Promise<CacheHit | undefined> {
    const { clock, link } = this.#modules;
    const timeout = new AbortController();
    const cancelTimer = clock.after(waitMs, () => timeout.abort());
    try {
      const found = await link.get(this.#keyOf(question), AbortSignal.any([signal, timeout.signal]));
      this.#ended('success');
      if (found === undefined) this.#counts.misses += 1;
      return found === undefined ? undefined : this.#checked(question, found);
    } catch (error) {
      if (signal.aborted) return undefined; // the caller went away: says nothing of the hub
      this.#counts.misses += 1;
      this.#ended(timeout.signal.aborted ? 'timeout' : 'failure');
      this.#modules.log.debug({ error: String(error) }, 'the hub gave no shared answer');
      return undefined;
    } finally {
      cancelTimer();
    }
  }

  #checked({ variantDigest, labels, maxAgeMs }: SharedQuestion, { body, ageMs }: SharedAnswer): CacheHit | undefined {
    const answer = decodeAnswer(body);
    if (answer?.answeredBy !== 'edge' || answer.variantDigest !== variantDigest) {
      this.#counts.broken += 1;
      this.#modules.log.warn({ model: labels.model }, 'the hub gave what is no answer of this variant: not taken');
      return undefined;
    }
    if (ageMs > maxAgeMs) {
      this.#counts.stale += 1;
      return undefined;
    }
    this.#counts.hits += 1;
    return { answer, labels, ageMs };
  }

  #judge(key: string, model: string, expected: CachedAnswer, answer: CachedAnswer): void {
    this.#audits.delete(key);
    this.#counts.audits += 1;
    if (areEqualAnswers(expected.outputs, answer.outputs)) return;
    this.#counts.disagreements += 1;
    const known = this.#model(model);
    if (known !== undefined) known.distrusted = true;
    this.#modules.log.warn({ model }, 'a shared answer differs from what this device computes: none is taken any more');
  }

  #enqueue(question: SharedQuestion, answer: CachedAnswer): void {
    const { labels, variantDigest } = question;
    const body = encodeAnswer(answer);
    const key = this.#keyOf(question);
    if (body === undefined || body.byteLength > LIMIT_SHARED_ANSWER_BYTES || this.#offers.has(key)) return;
    const full = this.#offers.size >= LIMIT_OFFERS || this.#offerBytes + body.byteLength > LIMIT_OFFER_BYTES;
    const breakerOpen = this.#breaker.phase === 'open';
    if (full || breakerOpen || !this.#modules.reachable() || this.#ends.signal.aborted) {
      this.#counts.dropped += 1;
      return;
    }
    this.#offers.set(key, { key, labels, versionDigest: answer.modelDigest, variantDigest, body });
    this.#offerBytes += body.byteLength;
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
  }

  async #send(): Promise<void> {
    const { clock, link, log } = this.#modules;
    for (const [key, offer] of this.#offers) {
      const timeout = new AbortController();
      const cancelTimer = clock.after(OFFER_TIMEOUT_MS, () => timeout.abort());
      try {
        await link.offer(offer, AbortSignal.any([this.#ends.signal, timeout.signal]));
        this.#counts.stores += 1;
      } catch (error) {
        this.#counts.dropped += 1;
        if (timeout.signal.aborted) this.#ended('timeout');
        log.debug({ model: offer.labels.model, error: String(error) }, 'the hub did not take an answer');
      } finally {
        cancelTimer();
        if (this.#offers.get(key) === offer) this.#takeOut(key, offer);
      }
    }
  }

  #takeOut(key: string, offer: AnswerOffer): void {
    this.#offers.delete(key);
    this.#offerBytes -= offer.body.byteLength;
  }

  #ended(outcome: 'success' | 'failure' | 'timeout'): void {
    this.#breaker = afterCall(this.#breaker, this.#options.breaker, outcome, this.#modules.clock.monotonicMs());
  }

  /** The hub's key: the device's own, and the kind of machine that computes. */
  #keyOf({ key, runsAs }: SharedQuestion): string {
    return createHash('sha256')
      .update(JSON.stringify([this.#options.machine, runsAs, key]))
      .digest('base64url');
  }

  #model(name: string) {
    let model = this.#models.get(name);
    if (model === undefined && this.#models.size < LIMIT_MODELS) {
      this.#models.set(name, (model = { runMs: undefined, hits: 0, distrusted: false }));
    }
    return model;
  }
}
