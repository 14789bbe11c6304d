// The states of sequences in one executor: what a graph carries from one run of a sequence to the next stays here and crosses to
// nobody. Invariants: a state belongs to one key, and a key to one start of a sequence; a run gets the state of exactly the runs
// that its sender knows to have succeeded, or `state-lost`; a state that is forgotten is released after its run has ended.
import { CopiedState } from './copied-state.js';
import type { CarriedState, CopyOutput, EngineSession, EngineState } from '../engine.js';
import type { SequenceRun } from '../graph-runner.js';
import { RuntimeError } from '../runtime-error.js';
import type { NamedTensor } from '../../tensor/tensor.js';

type HeldState = Pick<EngineState, 'run' | 'close'>;

interface Held {
  readonly state: HeldState;
  /** Runs that have succeeded. */
  steps: number;
  /** Settles when no run is in flight: one that its sender has given up may still be. */
  last: Promise<unknown>;
}

export class SequenceStates {
  readonly #session: EngineSession;
  readonly #carried: CarriedState;
  readonly #held = new Map<number, Held>();

  /** Throws RuntimeError `invalid-input` for a state that the graph can't carry. */
  constructor(session: EngineSession, carried: CarriedState) {
    this.#session = session;
    this.#carried = carried;
    void this.#open().close();
  }

  /** Rejects as EngineSession.run, and with RuntimeError `state-lost`. */
  async run(
    { key, step }: SequenceRun,
    feeds: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
    copy?: CopyOutput,
  ): Promise<NamedTensor[]> {
    await this.#held.get(key)?.last;
    if (step === 0) this.forget(key);
    const held = this.#held.get(key) ?? (step === 0 ? this.#begin(key) : undefined);
    if (held?.steps !== step) {
      const has = held === undefined ? 'none of this sequence' : `that of ${held.steps} runs`;
      throw new RuntimeError('state-lost', `the state after ${step} runs is wanted, the executor holds ${has}`);
    }
    const running = held.state.run(feeds, outputs, signal, copy);
    held.last = running.catch(() => undefined); // the caller hears of it
    const result = await running;
    held.steps += 1;
    return result;
  }

  forget(key: number): void {
    void this.#held.get(key)?.state.close();
    this.#held.delete(key);
  }

  #begin(key: number): Held {
    const held: Held = { state: this.#open(), steps: 0, last: Promise.resolve() };
    this.#held.set(key, held);
    return held;
  }

  #open(): HeldState {
    const { initial, carried } = this.#carried;
    return this.#session.openState?.(initial, carried) ?? new CopiedState(this.#session, initial, carried);
  }
}
