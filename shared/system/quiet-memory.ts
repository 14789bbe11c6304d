// When a quiet process gives memory back: what starting has left behind, soon after the start; what a busy time has left, when nobody
// has asked for minutes. A collection costs 60 ms and code that V8 must compile again for the next thousand requests
// (docs/performance.md), so pauses that are usual between requests are not long enough, and little to gain is not worth it.
import type { Clock } from './clock.js';
import type { Log } from './log.js';

const LOOK_INTERVAL_MS = 5_000;
/** Nobody asked for so long. */
export const QUIET_MS = 300_000;
/** While it starts, and hardly anything has been compiled for requests yet, a first pause will do. */
const STARTING_MS = 60_000;
const FIRST_REQUESTS = 100;
export const QUIET_WHILE_STARTING_MS = LOOK_INTERVAL_MS;
/** More than what was left after the last time. */
export const GROWN_LEAST_BYTES = 16 * 2 ** 20;

interface Quiet {
  readonly quietMs: number;
  readonly upMs: number;
  /** Since the start. */
  readonly requests: number;
  readonly grownBytes: number;
}

export function worthCollecting({ quietMs, upMs, requests, grownBytes }: Quiet): boolean {
  if (grownBytes < GROWN_LEAST_BYTES) return false;
  const starting = upMs <= STARTING_MS && requests <= FIRST_REQUESTS;
  return quietMs >= (starting ? QUIET_WHILE_STARTING_MS : QUIET_MS);
}

interface QuietMemoryModules {
  readonly clock: Clock;
  readonly log: Log;
  /** Requests so far. */
  readonly requests: () => number;
  readonly heldBytes: () => number;
  /** Resolves when it is done, with false where it can't be done here. */
  readonly collect: () => Promise<boolean>;
}

/** Begins to look; the returned function ends it. */
export function startQuietMemory({ clock, log, requests, heldBytes, collect }: QuietMemoryModules): () => void {
  const startedMs = clock.monotonicMs();
  let quietSinceMs = startedMs;
  let seen = requests();
  let leftBytes = 0;
  let cancel = (): void => undefined;
  let stopped = false;
  const lookLater = (): void => {
    if (!stopped) cancel = clock.after(LOOK_INTERVAL_MS, look);
  };
  const look = (): void => {
    const nowMs = clock.monotonicMs();
    if (requests() !== seen) quietSinceMs = nowMs;
    seen = requests();
    const heldBefore = heldBytes();
    const [quietMs, upMs, grownBytes] = [nowMs - quietSinceMs, nowMs - startedMs, heldBefore - leftBytes];
    if (!worthCollecting({ quietMs, upMs, requests: seen, grownBytes })) return lookLater();
    collect().then(
      (done) => {
        if (!done) return; // nor will it be the next time
        leftBytes = heldBytes();
        log.debug({ heldBefore, heldAfter: leftBytes }, 'nobody asks: memory given back');
        lookLater();
      },
      (error: unknown) => log.warn({ error: String(error) }, 'memory could not be given back'),
    );
  };
  lookLater();
  return () => {
    stopped = true;
    cancel();
  };
}
