// An open load on a real Scheduler over a simulated executor and clock: arrivals by chance (Poisson), run times that vary, all from
// one seed. What comes of it depends on the policies alone, and not on what else the machine does.
import { Cores } from '@tidegate/shared/scheduling/cores.js';
import { Scheduler } from '@tidegate/shared/scheduling/scheduler.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { GraphRunResult } from '@tidegate/shared/runtime/graph-runner.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { FakeGraphRunner, feedOf, settle } from './fake-graph-runner.js';
import { ManualClock } from './manual-clock.js';

export interface SimulatedCaller {
  readonly name: string;
  readonly perSecond: number;
  /** Drawn from by chance. */
  readonly timeoutsMs: readonly number[];
  /** When it begins to ask; by default with the simulation. */
  readonly fromMs?: number | undefined;
}

export interface SimulatedServer {
  readonly concurrency?: number;
  /** Mean time of a run. */
  readonly runMs: number;
  /** A run takes up to so much of the mean more or less. */
  readonly spread: number;
  /** Share of runs that take three times as long. */
  readonly slowShare?: number;
  /** On average each `everyMs` something else takes so much of the machine, for so long, that runs that begin then take `times` as long. */
  readonly slowPhases?: { readonly everyMs: number; readonly forMs: number; readonly times: number };
  readonly callerWeights?: ReadonlyMap<string, number>;
  /** Rows of several requests that one run may take, and what each after the first adds to its time; by default none are batched. */
  readonly batches?: { readonly maxRows: number; readonly rowShare: number };
}

export interface CallerOutcome {
  readonly offered: number;
  /** Refused when they came. */
  readonly refused: number;
  /** Admitted, and refused for another caller's sake. */
  readonly displaced: number;
  /** Admitted, and not answered in time. */
  readonly late: number;
  /** Of the answers, in ms, sorted. */
  readonly times: readonly number[];
}

export interface Outcome {
  readonly callers: ReadonlyMap<string, CallerOutcome>;
  /** Simulated time in which runs computed whose answer came in time, over slots and time. */
  readonly goodShare: number;
  /** Runs that made way and were repeated. */
  readonly repeated: number;
}

/** Answers count to requests that came after `countFromMs`. */
export async function simulateLoad(
  server: SimulatedServer,
  callers: readonly SimulatedCaller[],
  forMs: number,
  countFromMs = 0,
): Promise<Outcome> {
  const random = seeded(7);
  const clock = new ManualClock();
  const { concurrency = 1, runMs, spread, slowShare = 0, slowPhases, callerWeights, batches } = server;
  const slowly = slowness(slowPhases);
  const durationMs = (rows: number): number => {
    const usual = runMs * (1 + (rows - 1) * (batches?.rowShare ?? 1)) * (1 + spread * (2 * random() - 1));
    return slowly(clock.monotonicMs()) * (random() < slowShare ? 3 * usual : usual);
  };
  const runner = new SlottedRunner(clock, concurrency, durationMs);
  const cores = new Cores({ count: concurrency, callerWeights }, { clock });
  const limits = { maxRows: batches?.maxRows ?? 1, queueDepthMax: 256 };
  const scheduler = new Scheduler(runner, limits, { clock, cores });
  const seen = new Map(
    callers.map(({ name }) => [name, { offered: 0, refused: 0, displaced: 0, late: 0, times: [] as number[] }]),
  );
  const open: Promise<void>[] = [];
  const arrivals = callers.flatMap((caller) => poisson(caller, forMs, random)).sort((a, b) => a.atMs - b.atMs);
  const one = (caller: string, timeoutMs: number): Promise<void> => {
    const outcome = seen.get(caller)!;
    const cameMs = clock.monotonicMs();
    outcome.offered += 1;
    const work = { feeds: feedOf(1), outputs: [], deadlineMs: cameMs + timeoutMs, priority: 0, caller };
    return scheduler.run(work, new AbortController().signal).then(
      () => {
        if (cameMs >= countFromMs) outcome.times.push(clock.monotonicMs() - cameMs);
      },
      (error: unknown) => {
        const { code } = error as ServingError;
        if (code === 'deadline-exceeded') outcome.late += 1;
        else if (clock.monotonicMs() > cameMs) outcome.displaced += 1;
        else outcome.refused += 1;
      },
    );
  };
  for (const { atMs, caller, timeoutMs } of arrivals) {
    await pass(clock, atMs - clock.monotonicMs());
    open.push(one(caller, timeoutMs));
    await settle();
  }
  await pass(clock, 5_000);
  await Promise.all(open);
  const answered = [...seen.values()].reduce((sum, { times }) => sum + times.length, 0);
  for (const { times } of seen.values()) times.sort((a, b) => a - b);
  const meanMs = runMs * (1 + 2 * slowShare);
  return { callers: seen, goodShare: (answered * meanMs) / (forMs * concurrency), repeated: scheduler.counts.repeated };
}

/** So many times as long a run takes that begins at a time; asked in the order of time. */
function slowness(phases: SimulatedServer['slowPhases']): (nowMs: number) => number {
  if (phases === undefined) return () => 1;
  const { everyMs, forMs, times } = phases;
  const random = seeded(11);
  let untilMs = -Infinity;
  let nextMs = 0;
  return (nowMs) => {
    for (; nowMs >= nextMs; nextMs -= everyMs * Math.log(random())) {
      untilMs = nextMs + forMs;
    }
    return nowMs < untilMs ? times : 1;
  };
}

/** Calls back when so many milliseconds of work are done; the answer stops it. */
export type Compute = (ms: number, done: () => void) => () => void;

/** As an executor does it: what is sent beyond the slots waits inside, and a run that is ended frees its slot a little later. */
export class SlottedRunner extends FakeGraphRunner {
  readonly #waiting: (() => void)[] = [];
  readonly #time: ManualClock;
  readonly #durationMs: (rows: number) => number;
  readonly #compute: Compute;
  #busy = 0;

  /** `compute`: by default, as on a core of its own. */
  constructor(
    clock: ManualClock,
    concurrency: number,
    durationMs: (rows: number) => number,
    compute: Compute = (ms, done) => clock.after(ms, done),
  ) {
    super(clock, { concurrency });
    this.#time = clock;
    this.#durationMs = durationMs;
    this.#compute = compute;
  }

  override run(feeds: readonly NamedTensor[], _: readonly string[], signal: AbortSignal): Promise<GraphRunResult> {
    return new Promise((resolve, reject) => {
      const free = (): void => {
        this.#busy -= 1;
        this.#waiting.shift()?.();
      };
      const begin = (): void => {
        this.#busy += 1;
        const ms = this.#durationMs(feeds[0]?.shape[0] ?? 1);
        const cancel = this.#compute(ms, () => {
          signal.removeEventListener('abort', onAbort);
          free();
          resolve({ outputs: feeds.map((feed) => ({ ...feed, name: 'y' })), computeUs: 1000 * ms });
        });
        const onAbort = (): void => {
          cancel();
          this.#time.after(ENDING_MS, free);
          reject(new RuntimeError('cancelled', 'ended'));
        };
        signal.addEventListener('abort', onAbort, { once: true });
      };
      if (this.#busy < this.concurrency) return begin();
      this.#waiting.push(begin);
      signal.addEventListener('abort', () => {
        const at = this.#waiting.indexOf(begin);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        reject(new RuntimeError('cancelled', 'never began'));
      });
      return undefined;
    });
  }
}

/** Until a run that is ended in the middle has gone. */
const ENDING_MS = 1;

/** Time passes in steps, so that what a timer sets off happens at its time. */
export async function pass(clock: ManualClock, ms: number): Promise<void> {
  const untilMs = clock.monotonicMs() + ms;
  for (;;) {
    const nextMs = clock.nextMs ?? Infinity;
    if (nextMs > untilMs) break;
    clock.advance(nextMs - clock.monotonicMs());
    await settle();
  }
  clock.advance(Math.max(0, untilMs - clock.monotonicMs()));
}

export function poisson(
  { name, perSecond, timeoutsMs, fromMs = 0 }: SimulatedCaller,
  forMs: number,
  random: () => number,
) {
  const arrivals: { atMs: number; caller: string; timeoutMs: number }[] = [];
  for (let atMs = fromMs; ;) {
    atMs -= (Math.log(random()) / perSecond) * 1000;
    if (atMs > forMs) return arrivals;
    arrivals.push({ atMs, caller: name, timeoutMs: timeoutsMs[Math.floor(random() * timeoutsMs.length)]! });
  }
}

/** Numbers over 0 and under 1. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
}
