import { SampleTurns } from '@tidegate/cloud-hub/data/sample-turns.js';
import { expect, test } from 'vitest';

test('work on one id runs in its order, one at a time, past failures; other ids go on', async () => {
  const turns = new SampleTurns();
  const seen: string[] = [];
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  const first = turns.run('a', async () => {
    await held;
    seen.push('a1');
    throw new Error('a1 failed');
  });
  const second = turns.run('a', async () => seen.push('a2'));
  await turns.run('b', async () => seen.push('b1'));
  expect(seen).toEqual(['b1']);
  release();
  await expect(first).rejects.toThrow('a1 failed');
  await second;
  expect(seen).toEqual(['b1', 'a1', 'a2']);
  await turns.run('a', async () => seen.push('a3'));
  expect(seen).toEqual(['b1', 'a1', 'a2', 'a3']);
});
