// Answers that the devices of this hub share, in memory. A device's word alone is never passed on: an answer is given once as many
// devices as `witnesses` says have offered the very same bytes, so that one compromised device can poison nobody
// (docs/decisions/0003-shared-answers.md). Each device has one vote for a key. Where answers differ the one with more votes is given.
//
// Bounded: what is given by bytes, the least recently asked goes first; what waits for votes by bytes of its own and by device, so that a
// flood of questions that nobody repeats, or one device's, pushes out nothing that is asked for. A restart forgets all of it.
import { createHash } from 'node:crypto';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { SharedOffer, SharedOfferAnswer } from '@tidegate/shared/wire/shared-answer.js';

interface SharedAnswersOptions {
  readonly limitBytes: number;
  /** So many devices must have offered the same bytes. */
  readonly witnesses: number;
}

interface GivenAnswer {
  readonly body: Uint8Array;
  /** Since a device last said that it computed it. */
  readonly ageMs: number;
}

interface SharedSelection {
  readonly model?: string | undefined;
  readonly variant?: string | undefined;
  readonly tag?: string | undefined;
}

interface Question {
  readonly labels: SharedOffer;
  /** By the digest of what was offered: who offered it. */
  readonly votes: Map<string, Set<string>>;
  given: { readonly digest: string; readonly body: Uint8Array; computedMs: number } | undefined;
}

const LIMIT_AGE_MS = 86_400_000;
/** Room for questions that wait for votes, of the limit. */
const WAITING_SHARE = 1 / 8;
/** What a question and its votes take beside the body. */
const QUESTION_BYTES = 1024;
/** One device's share of the questions that wait. */
const DEVICE_SHARE = 1 / 4;
const LIMIT_ANSWERS_OF_KEY = 8;
/** More would change nothing. */
const LIMIT_VOTES = 64;

export class SharedAnswers {
  readonly #options: SharedAnswersOptions;
  readonly #clock: Clock;
  readonly #waitingMax: number;
  /** In order of the last asking. */
  readonly #given = new Map<string, Question>();
  /** In order of arrival. */
  readonly #waiting = new Map<string, Question>();
  readonly #waitingOf = new Map<string, Set<string>>();
  #givenBytes = 0;
  readonly #counts = { hits: 0, misses: 0, offers: 0, agreed: 0, differing: 0, evictions: 0 };

  constructor(options: SharedAnswersOptions, modules: { readonly clock: Clock }) {
    this.#options = options;
    this.#clock = modules.clock;
    this.#waitingMax = Math.floor((options.limitBytes * WAITING_SHARE) / QUESTION_BYTES);
  }

  get(key: string): GivenAnswer | undefined {
    const question = this.#given.get(key);
    const ageMs = this.#clock.monotonicMs() - (question?.given?.computedMs ?? 0);
    if (question?.given === undefined || ageMs > LIMIT_AGE_MS) {
      this.#counts.misses += 1;
      return undefined;
    }
    this.#given.delete(key);
    this.#given.set(key, question);
    this.#counts.hits += 1;
    return { body: question.given.body, ageMs };
  }

  /** `device` says that it computed `body`. */
  offer(key: string, labels: SharedOffer, body: Uint8Array, device: string): SharedOfferAnswer['state'] {
    this.#counts.offers += 1;
    const question = this.#given.get(key) ?? this.#waiting.get(key) ?? { labels, votes: new Map(), given: undefined };
    const digest = createHash('sha256').update(body).digest('base64url');
    const votes = vote(question, digest, device);
    if (question.given !== undefined && question.given.digest !== digest) this.#counts.differing += 1;
    const given = question.given === undefined ? 0 : (question.votes.get(question.given.digest)?.size ?? 0);
    if (question.given?.digest === digest) question.given.computedMs = this.#clock.monotonicMs();
    else if (votes >= this.#options.witnesses && votes > given) this.#give(key, question, digest, body);
    else if (question.given === undefined) this.#wait(key, question, device);
    return question.given === undefined ? 'waits' : 'given';
  }

  /** Returns how many answers went that were given before. */
  drop({ model, variant, tag }: SharedSelection): number {
    const matches = ({ labels }: Question): boolean =>
      (model === undefined || labels.model === model) &&
      (variant === undefined || labels.variant === variant) &&
      (tag === undefined || labels.tag.includes(tag));
    return this.#remove(matches);
  }

  /** The device was shut out: its votes count no more, and what then has too few goes. */
  forget(device: string): number {
    this.#waitingOf.delete(device);
    return this.#remove((question) => {
      for (const voters of question.votes.values()) voters.delete(device);
      if (question.given === undefined) return [...question.votes.values()].every(({ size }) => size === 0);
      return (question.votes.get(question.given.digest)?.size ?? 0) < this.#options.witnesses;
    });
  }

  get counts() {
    const held = { entries: this.#given.size, sizeBytes: this.#givenBytes, waiting: this.#waiting.size };
    return { ...this.#counts, ...held, limitBytes: this.#options.limitBytes };
  }

  /** What is given, by model. */
  models(): { model: string; entries: number; sizeBytes: number }[] {
    const models = new Map<string, { model: string; entries: number; sizeBytes: number }>();
    for (const question of this.#given.values()) {
      const { model } = question.labels;
      const sum = models.get(model) ?? { model, entries: 0, sizeBytes: 0 };
      models.set(model, { model, entries: sum.entries + 1, sizeBytes: sum.sizeBytes + sizeOf(question) });
    }
    return [...models.values()].sort((a, b) => (a.model < b.model ? -1 : 1));
  }

  #give(key: string, question: Question, digest: string, body: Uint8Array): void {
    if (question.given === undefined) this.#counts.agreed += 1;
    this.#takeOut(key, question);
    question.given = { digest, body: new Uint8Array(body), computedMs: this.#clock.monotonicMs() };
    this.#given.set(key, question);
    this.#givenBytes += sizeOf(question);
    const limitBytes = this.#options.limitBytes * (1 - WAITING_SHARE);
    for (const [oldest, other] of this.#given) {
      if (this.#givenBytes <= limitBytes) return;
      this.#takeOut(oldest, other);
      this.#counts.evictions += 1;
    }
  }

  #wait(key: string, question: Question, device: string): void {
    this.#waiting.set(key, question);
    const own = this.#waitingOf.get(device) ?? new Set();
    this.#waitingOf.set(device, own.add(key));
    const [ownOldest] = own;
    if (own.size > this.#waitingMax * DEVICE_SHARE && ownOldest !== undefined) this.#withdraw(ownOldest, device);
    const [oldest] = this.#waiting;
    if (this.#waiting.size > this.#waitingMax && oldest !== undefined) this.#takeOut(...oldest);
  }

  /** Takes a device's vote out of a question that waits. */
  #withdraw(key: string, device: string): void {
    this.#waitingOf.get(device)?.delete(key);
    const question = this.#waiting.get(key);
    if (question === undefined) return;
    for (const voters of question.votes.values()) voters.delete(device);
    if ([...question.votes.values()].every(({ size }) => size === 0)) this.#waiting.delete(key);
  }

  #takeOut(key: string, question: Question): void {
    if (this.#given.delete(key)) this.#givenBytes -= sizeOf(question);
    if (!this.#waiting.delete(key)) return;
    for (const voters of question.votes.values()) {
      for (const device of voters) {
        const own = this.#waitingOf.get(device);
        own?.delete(key);
        if (own?.size === 0) this.#waitingOf.delete(device);
      }
    }
  }

  #remove(matches: (question: Question) => boolean): number {
    let removed = 0;
    for (const questions of [this.#given, this.#waiting]) {
      for (const [key, question] of questions) {
        if (!matches(question)) continue;
        if (question.given !== undefined) removed += 1;
        this.#takeOut(key, question);
      }
    }
    return removed;
  }
}

/** One vote a device: a new one takes its last one back. Returns the votes that `digest` has now. */
function vote({ votes }: Question, digest: string, device: string): number {
  for (const [other, voters] of votes) {
    if (other !== digest && voters.delete(device) && voters.size === 0) votes.delete(other);
  }
  const voters = votes.get(digest) ?? new Set();
  if (!votes.has(digest) && votes.size >= LIMIT_ANSWERS_OF_KEY) return 0;
  if (voters.size < LIMIT_VOTES) voters.add(device);
  votes.set(digest, voters);
  return voters.size;
}

function sizeOf({ given }: Question): number {
  return QUESTION_BYTES + (given?.body.byteLength ?? 0);
}
