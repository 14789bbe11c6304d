// The live sequences of one loaded version: who is in which, and whose turn it is. The state itself lies in the executors; here
// are only its keys (runtime/graph-runner.ts, SequenceRun). A thin shell: sequence-policy.ts decides.
//
// Invariants: requests of one sequence run one at a time, in the order in which they came; every start has a key of its own, so
// no state reaches another sequence or another start; a request that failed after the state had moved ends its sequence, since
// nobody could say what the state holds; a sequence that ends is forgotten by the executors.
import type { SequenceRun } from '../runtime/graph-runner.js';
import type { Clock } from '../system/clock.js';
import type { Log } from '../system/log.js';
import type { EndedSequences } from './ended-sequences.js';
import type { SequenceAsked } from './inference-service.js';
import { enterSequence, idleSequences, lostReason } from './sequence-policy.js';
import { ServingError } from './serving-error.js';

interface SequenceLimits {
  readonly max: number;
  readonly idleTimeoutMs: number;
}

/** How sequences ended: `restarted` by a start of their own, `lost` with their state, `closed` with their version or connection. */
const ENDS = ['ended', 'idle', 'restarted', 'lost', 'closed'] as const;
type End = (typeof ENDS)[number];

/** `ended` since the version was loaded. */
export interface SequenceCounts {
  readonly live: number;
  readonly started: number;
  readonly ended: Readonly<Record<End, number>>;
}

/** A request's place in its sequence, while it is its turn. */
export interface SequenceTurn {
  /** Of the request's run of a graph that carries state. */
  at(graph: string): SequenceRun;
  /** That run has succeeded. */
  moved(graph: string): void;
}

interface SequencesModules {
  readonly model: string;
  readonly clock: Clock;
  readonly ended: EndedSequences;
  readonly log?: Log | undefined;
  /** Tells the executors that nobody will ask for this state again. */
  readonly forget: (key: number) => void;
}

interface Held {
  readonly name: string;
  readonly asked: SequenceAsked;
  /** Undefined before the first request's turn, and once it has ended while others still wait. */
  key: number | undefined;
  /** Runs that have succeeded, by graph. */
  readonly steps: Map<string, number>;
  waiting: number;
  usedMs: number;
  last: Promise<unknown>;
}

/** For all of a process: the executors of a version never see a key twice. */
let lastKey = 0;

export class Sequences {
  readonly #limits: SequenceLimits;
  readonly #modules: SequencesModules;
  readonly #held = new Map<string, Held>();
  #cancelLook: (() => void) | undefined;
  #started = 0;
  readonly #ends: Record<End, number> = { ended: 0, idle: 0, restarted: 0, lost: 0, closed: 0 };
  #onNone: (() => void)[] = [];

  constructor(limits: SequenceLimits, modules: SequencesModules) {
    this.#limits = limits;
    this.#modules = modules;
  }

  get counts(): SequenceCounts {
    return { live: this.#held.size, started: this.#started, ended: { ...this.#ends } };
  }

  /** When the last of them is idle for too long, if nothing more is asked; monotonic. Undefined where none is live. */
  get endMs(): number | undefined {
    const nowMs = this.#modules.clock.monotonicMs();
    let lastMs: number | undefined;
    for (const { waiting, usedMs } of this.#held.values()) lastMs = Math.max(lastMs ?? 0, waiting > 0 ? nowMs : usedMs);
    return lastMs === undefined ? undefined : lastMs + this.#limits.idleTimeoutMs;
  }

  has(asked: SequenceAsked): boolean {
    return this.#held.has(nameOf(asked));
  }

  /**
   * Calls `work` when it is the request's turn. Rejects with what it rejects with, with the signal's reason, or with
   * ServingError: `sequence-lost`, `invalid-argument` for an unknown sequence without start, `queue-full`.
   */
  async run<T>(asked: SequenceAsked, signal: AbortSignal, work: (turn: SequenceTurn) => Promise<T>): Promise<T> {
    const held = this.#enter(asked);
    held.waiting += 1;
    const turn = held.last.then(() => this.#turn(held, asked, signal, work));
    held.last = turn.catch(() => undefined); // its caller hears of it; the next has its turn
    try {
      return await turn;
    } finally {
      held.waiting -= 1;
      held.usedMs = this.#modules.clock.monotonicMs();
      if (held.key === undefined) this.#leave(held);
      this.#look();
    }
  }

  /** Ends those of a connection that is gone: nobody will ask for them. */
  endScope(scope: string): void {
    for (const held of [...this.#held.values()]) {
      if (held.asked.scope === scope) this.#end(held, 'closed', undefined);
    }
  }

  endAll(why: string): void {
    for (const held of [...this.#held.values()]) this.#end(held, 'closed', why);
  }

  /** Resolves when no sequence is live, after `timeoutMs` at the latest: then those that are left are ended with `why`. */
  async drained(timeoutMs: number, why: string): Promise<void> {
    if (this.#held.size === 0) return;
    const none = new Promise<void>((resolve) => this.#onNone.push(resolve));
    const cancel = this.#modules.clock.after(timeoutMs, () => this.endAll(why));
    await none;
    cancel();
  }

  #enter(asked: SequenceAsked): Held {
    const { model, ended, clock } = this.#modules;
    const name = nameOf(asked);
    const known = this.#held.get(name);
    const why = ended.why(model, name);
    const { max: countMax } = this.#limits;
    const view = { asked, known: known !== undefined, ended: why, count: this.#held.size, countMax };
    const decision = enterSequence(view);
    if (!decision.enter) {
      const { code, reason } = decision;
      const retry = code === 'queue-full' ? { retryAfterMs: 1000 } : {};
      throw new ServingError(code, reason, { field: 'parameters.sequence_id', ...retry });
    }
    if (known !== undefined) return known;
    ended.forget(model, name);
    const usedMs = clock.monotonicMs();
    const held = { name, asked, key: undefined, steps: new Map(), waiting: 0, usedMs, last: Promise.resolve() };
    this.#held.set(name, held);
    return held;
  }

  async #turn<T>(
    held: Held,
    asked: SequenceAsked,
    signal: AbortSignal,
    work: (turn: SequenceTurn) => Promise<T>,
  ): Promise<T> {
    if (asked.start && held.key !== undefined) this.#end(held, 'restarted', undefined);
    signal.throwIfAborted();
    if (asked.start) this.#begin(held);
    const { key } = held;
    if (key === undefined) throw this.#lost(held);
    let moved = false;
    const turn: SequenceTurn = {
      at: (graph) => ({ key, step: held.steps.get(graph) ?? 0 }),
      moved: (graph) => {
        moved = true;
        held.steps.set(graph, (held.steps.get(graph) ?? 0) + 1);
      },
    };
    try {
      const result = await work(turn);
      signal.throwIfAborted(); // its caller has been told that it failed
      if (asked.end) this.#endOf(held, key, 'ended', undefined);
      return result;
    } catch (cause) {
      const why = whyEnded(cause, asked, moved);
      if (why !== undefined) this.#endOf(held, key, asked.end ? 'ended' : 'lost', why);
      if (cause instanceof ServingError && cause.code === 'sequence-lost') throw this.#lost(held, cause);
      throw cause;
    }
  }

  #begin(held: Held): void {
    lastKey += 1;
    held.key = lastKey;
    held.steps.clear();
    this.#started += 1;
  }

  /** Ends the start that has this key, if it has not ended meanwhile. */
  #endOf(held: Held, key: number, end: End, why: string | undefined): void {
    if (held.key === key) this.#end(held, end, why);
  }

  /** `why` is what its next request is told; undefined where its caller knows. */
  #end(held: Held, end: End, why: string | undefined): void {
    const { model, ended, forget, log } = this.#modules;
    if (held.key !== undefined) {
      forget(held.key);
      this.#ends[end] += 1;
    }
    held.key = undefined;
    if (why !== undefined) {
      ended.note(model, held.name, why);
      log?.debug({ model, sequence: held.asked.id, why }, 'a sequence lost its state');
    }
    this.#leave(held);
  }

  /** Out of the table, once nobody waits in it. */
  #leave(held: Held): void {
    if (held.waiting > 0) return;
    this.#held.delete(held.name);
    if (this.#held.size > 0) return;
    this.#cancelLook?.();
    this.#cancelLook = undefined;
    for (const resolve of this.#onNone.splice(0)) resolve();
  }

  /** Looks for idle ones once, when the next can be: where none is live, nothing wakes the device. */
  #look(): void {
    if (this.#cancelLook !== undefined) return;
    const { clock } = this.#modules;
    const { idleTimeoutMs } = this.#limits;
    const { ended, againInMs } = idleSequences(this.#held.values(), idleTimeoutMs, clock.monotonicMs());
    for (const held of ended) this.#end(held, 'idle', `nothing was asked of it for ${idleTimeoutMs} ms`);
    if (againInMs === undefined) return;
    this.#cancelLook = clock.after(againInMs, () => {
      this.#cancelLook = undefined;
      this.#look();
    });
  }

  #lost(held: Held, cause?: ServingError): ServingError {
    const why = this.#modules.ended.why(this.#modules.model, held.name) ?? 'it has ended';
    return new ServingError('sequence-lost', lostReason(held.asked.id, why), {
      field: 'parameters.sequence_id',
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/** Why a failed request ends its sequence; undefined where the sequence is what it was before. */
function whyEnded(cause: unknown, asked: SequenceAsked, moved: boolean): string | undefined {
  const message = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof ServingError && cause.code === 'sequence-lost') return message;
  if (moved) return `a request failed when the state had moved on already (${message})`;
  if (asked.start) return `its first request failed (${message})`;
  return asked.end ? `it has ended with a request that failed (${message})` : undefined;
}

/** A scope has no spaces. */
function nameOf({ id, scope = '' }: SequenceAsked): string {
  return `${scope} ${id}`;
}
