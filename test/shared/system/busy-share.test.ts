import { expect, it } from 'vitest';
import { observeBusyShare } from '@tidegate/shared/system/busy-share.js';
import { systemClock } from '@tidegate/shared/system/clock.js';

it('sees this machine', async () => {
  const share = await observeBusyShare(systemClock, new AbortController().signal);
  expect(share).toBeGreaterThanOrEqual(0);
  expect(share).toBeLessThanOrEqual(1);
});

it('ends with its signal', async () => {
  await expect(observeBusyShare(systemClock, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
});
