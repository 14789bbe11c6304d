// The runs that were given to one executor, in the order in which they were: as many compute as it has slots, one more may wait
// inside it, sent ahead. Bookkeeping only; scheduler.ts decides what begins and what a run's end means.

export interface Run<M> {
  readonly members: readonly M[];
  readonly id: number;
  readonly abort: AbortController;
  /** Sum of its members' expected times. */
  readonly expectedMs: number;
  /** Cores that it computes on. */
  readonly threads: number;
  /** When it got a slot; undefined while it waits inside the executor, sent ahead. */
  beganMs: number | undefined;
  /** It is ended for another caller's run, and its members run again. */
  makesWay: boolean;
  /** False where it began before the slot was really free: its time says nothing. */
  readonly timed: boolean;
}

export class RunningRuns<M extends { readonly costMs: number }> {
  readonly #slots: number;
  readonly #threads: number;
  readonly #runs = new Set<Run<M>>();
  #lastId = 0;

  /** `slots`: runs that compute at once, each on so many cores. */
  constructor(slots: number, threads = 1) {
    this.#slots = slots;
    this.#threads = threads;
  }

  get size(): number {
    return this.#runs.size;
  }

  get all(): readonly Run<M>[] {
    return [...this.#runs];
  }

  /** A run begins, or waits inside the executor where no slot is free. */
  begin(members: readonly M[], nowMs: number, timed: boolean): Run<M> {
    this.#lastId += 1;
    const run: Run<M> = {
      members,
      id: this.#lastId,
      abort: new AbortController(),
      expectedMs: members.reduce((sum, { costMs }) => sum + costMs, 0),
      threads: this.#threads,
      beganMs: this.#runs.size < this.#slots ? nowMs : undefined,
      makesWay: false,
      timed,
    };
    this.#runs.add(run);
    return run;
  }

  /** Its slot goes to the run that waits inside the executor, if there is one. */
  ended(run: Run<M>, nowMs: number): void {
    this.#runs.delete(run);
    const waitsInside = this.all.find(({ beganMs }) => beganMs === undefined);
    if (waitsInside !== undefined) waitsInside.beganMs = nowMs;
  }

  /** When each slot will be free, the runs counted in that were sent ahead. */
  slotsFreeMs(nowMs: number): number[] {
    const slots = Array.from({ length: this.#slots }, () => nowMs);
    for (const { beganMs, expectedMs } of this.#runs) {
      const earliest = slots.indexOf(Math.min(...slots));
      slots[earliest] = Math.max(nowMs, slots[earliest] ?? nowMs, (beganMs ?? slots[earliest] ?? nowMs) + expectedMs);
    }
    return slots;
  }
}
