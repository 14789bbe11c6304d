// Two ways to one end: another machine is asked, and when it fails or its patience is over the device goes on by itself from what it has. The first that
// succeeds answers.
import type { Clock } from '@tidegate/shared/system/clock.js';

interface RaceEntry<T> {
  /** Asks the other machine. */
  readonly there: (signal: AbortSignal) => Promise<T>;
  readonly here: (signal: AbortSignal) => Promise<T>;
  /** From when on both are under way; 0 = from the beginning. */
  readonly patienceMs: number;
  /** How long `there` may go on when it lost, since what it takes is wanted; 0 = it is told to end at once. */
  readonly letEndMs: number;
}

type Raced<T> =
  | { readonly by: 'there'; readonly value: T }
  /** `because`: what became of `there`. */
  | { readonly by: 'here'; readonly value: T; readonly because: string };

/** Rejects with what `here` rejects with, where both fail; who lost is told so by its signal. */
export async function raceToEnd<T>(entry: RaceEntry<T>, clock: Clock, signal: AbortSignal): Promise<Raced<T>> {
  let asked: Promise<unknown> = Promise.resolve();
  const there = (inner: AbortSignal): Promise<T> => {
    const answered = entry.there(inner);
    asked = answered.catch(() => undefined);
    return answered;
  };
  const ends = { there: new AbortController(), here: new AbortController() };
  // Not AbortSignal.any, which the caller's signal would remember for as long as the caller's connection lasts.
  const onAbort = (): void => [ends.there, ends.here].forEach((end) => end.abort(signal.reason));
  signal.throwIfAborted();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await run({ ...entry, there }, clock, signal, ends);
  } finally {
    signal.removeEventListener('abort', onAbort);
    ends.here.abort();
    if (entry.letEndMs === 0) ends.there.abort();
    else void asked.finally(clock.after(entry.letEndMs, () => ends.there.abort()));
  }
}

async function run<T>(
  { there, here, patienceMs }: RaceEntry<T>,
  clock: Clock,
  signal: AbortSignal,
  ends: { readonly there: AbortController; readonly here: AbortController },
): Promise<Raced<T>> {
  let because = `no answer within ${Math.round(patienceMs)} ms`;
  const asked = there(ends.there.signal).then(
    (value): Raced<T> => ({ by: 'there', value }),
    (cause: unknown) => {
      because = cause instanceof Error ? cause.message : String(cause);
      throw cause;
    },
  );
  let stopWaiting = (): void => undefined;
  const waited = new Promise<undefined>((resolve) => {
    stopWaiting = clock.after(patienceMs, () => resolve(undefined));
  });
  const early = await Promise.race([asked.catch(() => undefined), waited]).finally(stopWaiting);
  if (early !== undefined) return early;
  signal.throwIfAborted();
  const goesOn = here(ends.here.signal).then((value): Raced<T> => ({ by: 'here', value, because }));
  // Where both fail, the device's own error says why nothing answers.
  return Promise.any([asked, goesOn]).catch(() => goesOn);
}
