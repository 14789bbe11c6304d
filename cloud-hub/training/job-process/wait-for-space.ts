// What a job must have on the disk, written once there is space: hours of training are not lost to a disk that is full for a while.
import { isDiskFull } from '@tidegate/shared/content/content-error.js';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';

const RETRY_DELAY_MS = 5_000;

/** Rejects with the signal's reason, or with what `write` says other than that the disk is full. */
export async function waitForSpace(
  what: string,
  write: () => Promise<void>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    try {
      await write();
      return;
    } catch (cause) {
      if (!isDiskFull(cause)) throw cause;
      log.warn({ err: cause }, `the disk is full; ${what} waits for space`);
      await delay(clock, RETRY_DELAY_MS, signal);
    }
  }
}
