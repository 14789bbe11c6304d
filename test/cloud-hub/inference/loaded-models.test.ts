import { LoadedModels } from '@tidegate/cloud-hub/inference/loaded-models.js';
import { expect, test } from 'vitest';

/** A model that closes when it is told to. */
class FakeModel {
  closing = 0;
  finish: () => void = () => undefined;
  readonly #closed = new Promise<void>((resolve) => (this.finish = resolve));
  close(): Promise<void> {
    this.closing += 1;
    return this.#closed;
  }
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('loads once for all who wait, and again after a failure', async () => {
  const models = new LoadedModels<FakeModel>(2);
  let loads = 0;
  const load = async (): Promise<FakeModel> => {
    loads += 1;
    if (loads === 1) throw new Error('no memory');
    return new FakeModel();
  };
  const [first, second] = await Promise.allSettled([models.get('a', load), models.get('a', load)]);
  expect([first.status, second.status, loads]).toEqual(['rejected', 'rejected', 1]);
  const [third, fourth] = await Promise.all([models.get('a', load), models.get('a', load)]);
  expect(third).toBe(fourth);
  expect([loads, models.size]).toEqual([2, 1]);
});

test('the one unused for longest makes room, and is closed before the next is loaded', async () => {
  const models = new LoadedModels<FakeModel>(2);
  const made = new Map<string, FakeModel>();
  const load = (key: string) => async (): Promise<FakeModel> => {
    const model = new FakeModel();
    made.set(key, model);
    return model;
  };
  for (const key of ['a', 'b', 'a']) await models.get(key, load(key));
  const third = models.get('c', load('c'));
  await settled();
  expect([made.get('b')?.closing, made.get('a')?.closing, made.has('c'), models.size]).toEqual([1, 0, false, 2]);
  made.get('b')?.finish();
  await third;
  expect(made.has('c')).toBe(true);
  expect(await models.get('a', load('x'))).toBe(made.get('a'));
});

test('closing waits for all', async () => {
  const models = new LoadedModels<FakeModel>(3);
  const held = [new FakeModel(), new FakeModel()];
  await models.get('a', async () => held[0]!);
  await models.get('b', async () => held[1]!);
  models.get('broken', () => Promise.reject(new Error('x'))).catch(() => undefined);
  let done = false;
  const closing = models.closeAll().then(() => (done = true));
  held[0]!.finish();
  await settled();
  expect(done).toBe(false);
  held[1]!.finish();
  await closing;
  expect([models.size, held.map((model) => model.closing)]).toEqual([0, [1, 1]]);
});
