import { waitForSpace } from '@tidegate/cloud-hub/training/job-process/wait-for-space.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { expect, test } from 'vitest';
import { ManualClock } from '../../../support/manual-clock.js';

const failure = (code: string) => Object.assign(new Error(code), { code });

test('writes once there is space, and asks now and then', async () => {
  const clock = new ManualClock();
  let tries = 0;
  const written = waitForSpace(
    'it',
    async () => {
      tries += 1;
      if (tries < 3) throw failure('ENOSPC');
    },
    { clock, log: silentLog },
    new AbortController().signal,
  );
  for (const expected of [1, 2]) {
    await expect.poll(() => tries).toBe(expected);
    await new Promise((resolve) => setImmediate(resolve)); // it waits by now
    clock.advance(5_000);
  }
  await written;
  expect(tries).toBe(3);
});

test('waits for nothing else, and no longer than the job may', async () => {
  const modules = { clock: new ManualClock(), log: silentLog };
  const full = async (): Promise<void> => Promise.reject(failure('ENOSPC'));
  const broken = async (): Promise<void> => Promise.reject(failure('EIO'));
  await expect(waitForSpace('it', broken, modules, new AbortController().signal)).rejects.toThrow('EIO');
  await expect(waitForSpace('it', full, modules, AbortSignal.abort(new Error('told to stop')))).rejects.toThrow('told');
});
