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
  expect(queue.turnsWith(asks, 0).map(({ share }) => share)).toEqual([soon, asks, late]);
  expect(queue.turns(0).map(({ share }) => share)).toEqual([soon, late]);
  expect([queue.remove(late), queue.remove(late), queue.length]).toEqual([true, false, 1]);
});

it('weighs callers', () => {
  const queue = new WaitingQueue<ReturnType<typeof item>>(new Map([['a', 2]]));
  for (const name of ['a', 'b']) queue.enter(name);
  for (const rank of [1, 2, 3, 4]) queue.add(item(rank, 'a'));
  for (const rank of [5, 6]) queue.add(item(rank, 'b'));
  expect(
    queue
      .turns(0)
      .map(({ share }) => share.account)
      .join(''),
  ).toBe('abaaba');
});

it('lets light callers go first, however the estimates of others were off, and counts their runs for nothing', () => {
  const queue = new WaitingQueue<ReturnType<typeof item>>();
  for (const name of ['heavy', 'light']) queue.enter(name);
  const runs = [item(1, 'heavy'), item(2, 'heavy')];
  for (const run of runs) queue.began(run, 0); // two at once, and both much shorter than expected
  for (const run of runs) queue.ended(run, 0.1, 0);
  queue.used('heavy', 1000, 0);
  for (const rank of [3, 4]) queue.add(item(rank, 'heavy'));
  for (const rank of [8, 9]) queue.add(item(rank, 'light'));
  expect(queue.turns(0).map(({ share }) => share.rank)).toEqual([8, 9, 3, 4]);
  queue.used('light', 95, 0); // no more than a tenth
  expect(queue.turns(0).map(({ share }) => share.rank)).toEqual([3, 8, 4, 9]);
});

it('lets only those share a run whose callers have had as little, and says whether they are heavy', () => {
  const queue = new WaitingQueue<ReturnType<typeof item>>();
  expect(queue.nextInTurn(0)).toEqual({ members: [], heavy: false });
  for (const name of ['heavy', 'light', 'between']) queue.enter(name);
  for (const [name, rank] of [
    ['heavy', 1],
    ['between', 2],
    ['light', 3],
    ['heavy', 4],
  ] as const)
    queue.add(item(rank, name));
  const ranks = () => queue.nextInTurn(0).members.map(({ rank }) => rank);
  expect(ranks()).toEqual([1, 2, 3, 4]); // nobody had anything yet
  queue.used('heavy', 1000, 0);
  queue.used('between', 95, 0);
  queue.used('light', 20, 0);
  expect([ranks(), queue.nextInTurn(0).heavy]).toEqual([[3], false]);
  queue.remove(queue.all[2]!);
  queue.began(item(0, 'heavy'), 0); // its turn is over until the others have had as much
  expect([ranks(), queue.nextInTurn(0).heavy]).toEqual([[2], false]);
  queue.remove(queue.all[1]!);
  expect([ranks(), queue.nextInTurn(0).heavy]).toEqual([[1, 4], true]);
});
