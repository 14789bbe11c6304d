import { expect, it } from 'vitest';
import { WaitingQueue } from '@tidegate/shared/scheduling/waiting-queue.js';

const item = (rank: number, account = '') => ({ account, rank, costMs: 10 });

it('keeps requests by rank, equals in the order in which they came', () => {
  const queue = new WaitingQueue<ReturnType<typeof item> & { name: string }>();
  for (const [name, rank] of [
    ['b', 2],
    ['a', 1],
    ['c', 2],
  ] as const)
    queue.add({ ...item(rank), name });
  expect(queue.all.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
});

it('puts one that runs again before its equals', () => {
  const queue = new WaitingQueue<ReturnType<typeof item>>();
  const [first, again] = [item(1), item(1)];
  queue.add(first);
  queue.add(again, 1 - 1e-6);
  expect(queue.all[0]).toBe(again);
});

it('shows the turns with one that only asks, and does not keep it', () => {
  const queue = new WaitingQueue<ReturnType<typeof item>>();
  const [soon, late, asks] = [item(1), item(9), item(5)];
  queue.enter('');
  queue.add(late);
  queue.add(soon);
  expect(queue.turnsWith(asks).map(({ share }) => share)).toEqual([soon, asks, late]);
  expect(queue.turns().map(({ share }) => share)).toEqual([soon, late]);
  expect([queue.remove(late), queue.remove(late), queue.length]).toEqual([true, false, 1]);
});

it('weighs callers', () => {
  const queue = new WaitingQueue<ReturnType<typeof item>>(new Map([['a', 2]]));
  for (const name of ['a', 'b']) queue.enter(name);
  for (const rank of [1, 2, 3, 4]) queue.add(item(rank, 'a'));
  for (const rank of [5, 6]) queue.add(item(rank, 'b'));
  expect(
    queue
      .turns()
      .map(({ share }) => share.account)
      .join(''),
  ).toBe('abaaba');
});
