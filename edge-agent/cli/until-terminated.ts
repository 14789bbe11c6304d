// SIGTERM (or Ctrl-C) asks to end in order: the signal aborts, the program drains. A second one ends it at once.
import type { Log } from '@tidegate/shared/system/log.js';

/** 128 + SIGTERM, as a shell reports a program that the signal ended. */
const EXIT_AT_ONCE = 143;

interface Termination {
  /** Aborts at the first signal; for what is still starting. */
  readonly signal: AbortSignal;
  /** Resolves at the first signal. */
  readonly terminated: Promise<void>;
  /** Stops listening. */
  stop(): void;
}

export function untilTerminated(log: Log): Termination {
  const abort = new AbortController();
  const terminated = new Promise<void>((resolve) => abort.signal.addEventListener('abort', () => resolve()));
  const onSignal = (name: NodeJS.Signals): void => {
    if (abort.signal.aborted) {
      log.warn({ signal: name }, 'ending at once');
      process.exit(EXIT_AT_ONCE);
    }
    log.info({ signal: name }, 'finishing what was accepted');
    abort.abort(new Error(`ended by ${name}`));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return {
    signal: abort.signal,
    terminated,
    stop: () => {
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
    },
  };
}
