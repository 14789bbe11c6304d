// An open load on several models of one machine: real schedulers, simulated executors whose runs share the cores as a kernel lets them,
// each with its part where more compute than there are cores. From one seed.
import { Cores } from '@tidegate/shared/scheduling/cores.js';
import { Scheduler } from '@tidegate/shared/scheduling/scheduler.js';
import type { ServingError } from '@tidegate/shared/serving/serving-error.js';
import { feedOf, settle } from './fake-graph-runner.js';
import { ManualClock } from './manual-clock.js';
import {
  pass,
  poisson,
  seeded,
  SlottedRunner,
  type CallerOutcome,
  type Compute,
  type SimulatedCaller,
} from './simulated-load.js';

interface SimulatedModel {
  readonly runMs: number;
  readonly callers: readonly SimulatedCaller[];
}

/** On so many cores; what became of each caller's requests. */
export async function simulateModels(
  count: number,
  models: readonly SimulatedModel[],
  forMs: number,
): Promise<ReadonlyMap<string, CallerOutcome>> {
  const random = seeded(7);
  const clock = new ManualClock();
  const compute = sharedCores(clock, count);
  const cores = new Cores({ count }, { clock });
  const seen = new Map<
    string,
    { offered: number; refused: number; displaced: number; late: number; times: number[] }
  >();
  const arrivals = models.flatMap(({ runMs, callers }) => {
    const runner = new SlottedRunner(clock, count, () => runMs * (0.9 + 0.2 * random()), compute);
    const scheduler = new Scheduler(runner, { maxRows: 1, queueDepthMax: 256 }, { clock, cores });
    return callers.flatMap((caller) => poisson(caller, forMs, random).map((arrival) => ({ ...arrival, scheduler })));
  });
  const open: Promise<void>[] = [];
  for (const { atMs, caller, timeoutMs, scheduler } of arrivals.sort((a, b) => a.atMs - b.atMs)) {
    await pass(clock, atMs - clock.monotonicMs());
    const outcome = seen.get(caller) ?? { offered: 0, refused: 0, displaced: 0, late: 0, times: [] };
    seen.set(caller, outcome);
    outcome.offered += 1;
    const cameMs = clock.monotonicMs();
    const work = { feeds: feedOf(1), outputs: [], deadlineMs: cameMs + timeoutMs, priority: 0, caller };
    const asked = scheduler.run(work, new AbortController().signal).then(
      () => void outcome.times.push(clock.monotonicMs() - cameMs),
      ({ code }: ServingError) => {
        if (code === 'deadline-exceeded') outcome.late += 1;
        else if (clock.monotonicMs() > cameMs) outcome.displaced += 1;
        else outcome.refused += 1;
      },
    );
    open.push(asked);
    await settle();
  }
  await pass(clock, 5_000);
  await Promise.all(open);
  for (const { times } of seen.values()) times.sort((a, b) => a - b);
  return seen;
}

/** Runs go on alike: as fast as alone while there are cores for all, else each with its part. */
function sharedCores(clock: ManualClock, count: number): Compute {
  const runs = new Set<{ leftMs: number; readonly done: () => void }>();
  let sinceMs = 0;
  let cancel = (): void => undefined;
  const speed = (): number => Math.min(1, count / Math.max(1, runs.size));
  const goOn = (): void => {
    const passedMs = (clock.monotonicMs() - sinceMs) * speed();
    sinceMs = clock.monotonicMs();
    for (const run of runs) run.leftMs -= passedMs;
  };
  const next = (): void => {
    cancel();
    if (runs.size === 0) return;
    const first = [...runs].reduce((least, run) => (run.leftMs < least.leftMs ? run : least));
    cancel = clock.after(Math.max(0, first.leftMs) / speed(), () => {
      goOn();
      runs.delete(first);
      next();
      first.done();
    });
  };
  return (leftMs, done) => {
    goOn();
    const run = { leftMs, done };
    runs.add(run);
    next();
    return () => {
      goOn();
      runs.delete(run);
      next();
    };
  };
}
