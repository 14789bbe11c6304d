import { describe, expect, it } from 'vitest';
import { unlessAborted } from '@tidegate/edge-agent/sync/unless-aborted.js';

describe('waiting that ends with its signal', () => {
  it('gives what the work gives', async () => {
    const { signal } = new AbortController();
    expect(await unlessAborted(Promise.resolve(1), signal, () => undefined)).toBe(1);
    await expect(unlessAborted(Promise.reject(new Error('no')), signal, () => undefined)).rejects.toThrow('no');
  });

  it('ends at once when called off, and hands what comes late to who cleans up (B15)', async () => {
    const late: number[] = [];
    const abort = new AbortController();
    let finish: (value: number) => void = () => undefined;
    const waiting = unlessAborted(new Promise<number>((resolve) => (finish = resolve)), abort.signal, (value) =>
      late.push(value),
    );
    abort.abort(new Error('called off'));
    await expect(waiting).rejects.toThrow('called off');
    finish(7);
    await new Promise((resolve) => setImmediate(resolve));
    expect(late).toEqual([7]);
    await expect(unlessAborted(new Promise(() => undefined), abort.signal, () => undefined)).rejects.toThrow(
      'called off',
    );
  });
});
