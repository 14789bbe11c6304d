import { inParallel } from '@tidegate/shared/system/in-parallel.js';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';

test('gives the results in the order of the items, with so many under way and no more', async () => {
  let running = 0;
  let runningMax = 0;
  const results = await inParallel([5, 1, 4, 2, 3], 2, async (turns) => {
    runningMax = Math.max(runningMax, ++running);
    for (let i = 0; i < turns; i += 1) await turn();
    running -= 1;
    return turns * 10;
  });
  expect(results).toEqual([50, 10, 40, 20, 30]);
  expect(runningMax).toBe(2);
});

test('a failure lets no other item begin, and is told when nothing runs any more', async () => {
  const ended: number[] = [];
  const work = inParallel([1, 2, 3, 4], 2, async (item) => {
    if (item === 1) throw new Error('the first');
    await turn();
    ended.push(item);
  });
  await expect(work).rejects.toThrow('the first');
  expect(ended).toEqual([2]);
});

test('nothing is nothing', async () => expect(await inParallel([], 2, () => Promise.reject(new Error()))).toEqual([]));
