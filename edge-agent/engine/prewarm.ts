// Models that are loaded ahead at times of the day (`memory.prewarm`), in the device's local time. Looks once a minute, so that
// a clock that was set meanwhile is followed; a time that passed while nobody looked counts as come now.
import type { Clock } from '@tidegate/shared/system/clock.js';

const LOOK_INTERVAL_MS = 60_000;

/** Was it one of `times` (`06:30`, local) after `sinceMs`, up to and with `nowMs`? Wall time. */
export function prewarmDue(times: readonly string[], sinceMs: number, nowMs: number): boolean {
  return times.some((time) => {
    const [hours = 0, minutes = 0] = time.split(':').map(Number);
    const at = new Date(nowMs);
    at.setHours(hours, minutes, 0, 0);
    if (at.getTime() > nowMs) at.setDate(at.getDate() - 1);
    return at.getTime() > sinceMs;
  });
}

interface PrewarmedModels {
  names(): readonly string[];
  prewarmTimes(name: string): readonly string[];
  warm(name: string): void;
}

/** Begins to look; the returned function ends it. */
export function startPrewarm(models: PrewarmedModels, clock: Clock): () => void {
  let sinceMs = clock.nowMs();
  let cancel = (): void => undefined;
  const look = (): void => {
    const nowMs = clock.nowMs();
    for (const name of models.names()) {
      if (prewarmDue(models.prewarmTimes(name), sinceMs, nowMs)) models.warm(name);
    }
    sinceMs = nowMs;
    cancel = clock.after(LOOK_INTERVAL_MS, look);
  };
  cancel = clock.after(LOOK_INTERVAL_MS, look);
  return () => cancel();
}
