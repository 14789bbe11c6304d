import { HubModel, type LoadedModel } from '@tidegate/cloud-hub/inference/hub-model.js';
import { expect, test } from 'vitest';

const signal = new AbortController().signal;
const request = { inputs: [], outputs: [], deadlineMs: 1000, priority: 0 };

function loaded(): LoadedModel & { calls: string[] } {
  const calls: string[] = [];
  const call = (name: string) => async (): Promise<void> => void calls.push(name);
  return {
    ...{
      calls,
      pids: [7],
      memoryShareOf: () => 0.5,
      loadMs: 30,
      quarantine: undefined,
      holdsState: true,
      deterministic: false,
      threads: 2,
    },
    infer: async () => ({ outputs: [], queueUs: 1, computeUs: 2, confidence: undefined }),
    ...{ park: call('park'), wake: call('wake'), close: call('close') },
  };
}

test('is opened when it is first let into memory, and only woken from then on', async () => {
  const inner = loaded();
  let loads = 0;
  const model = new HubModel('digits@3', async () => ((loads += 1), inner));
  await model.park();
  expect([model.pids, model.holdsState, model.quarantine]).toEqual([[], false, undefined]);
  expect(model.deterministic).toBeUndefined();
  expect(model.loadMs).toBeGreaterThan(0);
  expect(model.threads).toBe(1);
  await expect(model.infer(request, signal)).rejects.toMatchObject({ code: 'not-ready' });
  await model.wake(signal);
  expect([model.pids, model.memoryShareOf(7), model.loadMs, model.holdsState]).toEqual([[7], 0.5, 30, true]);
  expect(await model.infer(request, signal)).toMatchObject({ computeUs: 2 });
  expect([model.deterministic, model.threads]).toEqual([false, 2]);
  await model.park();
  await model.wake(signal);
  await model.close();
  expect([loads, inner.calls]).toEqual([1, ['park', 'wake', 'close']]);
});

test('that could not be opened says why to each who asks, and is none to wait for', async () => {
  const model = new HubModel('digits@3', () => Promise.reject(new Error('no memory')));
  await expect(model.wake(signal)).rejects.toThrow('digits@3 could not be loaded: no memory');
  expect([model.failed, model.quarantine === undefined]).toEqual([true, false]);
  await expect(model.infer(request, signal)).rejects.toMatchObject({ code: 'failed' });
  await model.close();
});
