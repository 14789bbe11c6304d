import { expect, it } from 'vitest';
import { sharedWaitMs } from '@tidegate/edge-agent/cache/shared-wait.js';

it.each([
  ['not measured yet', undefined, 10_000, undefined],
  ['computed before a network answers', 19, 10_000, undefined],
  ['slow to compute: as long as that takes, no longer', 300, 10_000, 300],
  ['little time: what is left after leaving two runs', 300, 700, 100],
  ['no time to ask in vain', 300, 610, undefined],
])('%s', (_what, runMs, remainingMs, waitMs) => expect(sharedWaitMs({ runMs, remainingMs })).toBe(waitMs));
