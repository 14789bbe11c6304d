// A residency without a budget, for tests that are about something else.
import { Residency } from '@tidegate/shared/residency/residency.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';

export function unlimitedResidency(): Residency {
  const memoryOf = (): Promise<undefined> => Promise.resolve(undefined);
  return new Residency({ limitBytes: undefined }, { clock: systemClock, log: silentLog, memoryOf, ownPids: () => [0] });
}
