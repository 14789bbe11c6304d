// How many threads a run of a model gets where `--threads auto` leaves it to measurement: pure. All models compute on the same cores, so
// threads are bought with throughput: n of them seldom make a run n times as fast, and while they compute nobody else does. One
// thread is what keeps the most requests a second going; more pay where a run alone is long enough to be waited for, and nearly all of
// what they take comes back. The number of runs at once follows: cores / threads.

/** Shorter runs spend more on waking threads than they gain, and nobody waits for them. */
const LONG_RUN_MS = 5;
/** Of the throughput with one thread, what must be left. */
const LEAST_EFFICIENCY = 0.75;
/** Caches make threads a little better than their number. */
const SUPERLINEAR = 1.1;
/** A run must get at least so much shorter. */
const LEAST_GAIN = 0.8;

export interface ThreadsMeasure {
  readonly threads: number;
  /** Time inside the engine of the fastest of a few requests: what else the machine does makes them longer, never shorter. */
  readonly runMs: number;
}

export interface ThreadsChoice {
  readonly threads: number;
  readonly reason: string;
  readonly measured: readonly ThreadsMeasure[];
  /** By the wall clock; absent where nothing was measured. */
  readonly measuredAtMs?: number | undefined;
}

/** What is worth a load each beside one thread: 2, 4 ... and all cores. */
export function threadCountsBeyondOne(cores: number): number[] {
  const counts: number[] = [];
  for (let count = 2; count < cores; count *= 2) counts.push(count);
  return cores < 2 ? [] : [...counts, cores];
}

/** `measured`: one thread first. `deadlineMs`: what a request has that states none. */
export function chooseThreads(measured: readonly ThreadsMeasure[], deadlineMs: number): ThreadsChoice {
  const [one, ...more] = measured;
  if (one === undefined) return { threads: 1, reason: 'nothing could be measured', measured };
  const told = `a run takes ${ms(one.runMs)} with 1 thread`;
  if (more.length === 0) return { threads: 1, reason: `${told}${isLong(one) ? '' : ': too short for more'}`, measured };
  const fastest = more.reduce((best, other) => (other.runMs < best.runMs ? other : best));
  if (one.runMs > deadlineMs && fastest.runMs < one.runMs) {
    const reason = `${told}, longer than the default deadline of ${ms(deadlineMs)}, and ${ms(fastest.runMs)} with ${fastest.threads}`;
    return { threads: fastest.threads, reason, measured };
  }
  const paying = more.filter((measure) => pays(one, measure));
  const best = paying.reduce<ThreadsMeasure>(
    (shortest, other) => (other.runMs < shortest.runMs ? other : shortest),
    one,
  );
  if (best === one) {
    const reason = `${told} and ${ms(fastest.runMs)} with ${fastest.threads}: more threads cost more throughput than they are worth`;
    return { threads: 1, reason, measured };
  }
  const kept = Math.round(100 * efficiency(one, best));
  const reason = `${told} and ${ms(best.runMs)} with ${best.threads}, which leaves ${kept}% of the throughput`;
  return { threads: best.threads, reason, measured };
}

/** Is it worth loading the model with more threads to see? */
export function isLong({ runMs }: ThreadsMeasure): boolean {
  return runMs >= LONG_RUN_MS;
}

/** So many threads are more than so many times as fast only where something else slowed the one. `measured` as above. */
export function isImplausible([one, ...more]: readonly ThreadsMeasure[]): boolean {
  return more.some(({ threads, runMs }) => one !== undefined && one.runMs > SUPERLINEAR * threads * runMs);
}

function pays(one: ThreadsMeasure, measure: ThreadsMeasure): boolean {
  return efficiency(one, measure) >= LEAST_EFFICIENCY && measure.runMs <= LEAST_GAIN * one.runMs;
}

function efficiency(one: ThreadsMeasure, { threads, runMs }: ThreadsMeasure): number {
  return Math.min(1, one.runMs / (threads * runMs));
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}
