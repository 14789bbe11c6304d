import { goneSignal } from '@tidegate/cloud-hub/api/gone-signal.js';
import Fastify from 'fastify';
import { once } from 'node:events';
import { expect, test } from 'vitest';

/** The signal of one request, once its connection is closed. */
async function signalOf(work: (signal: AbortSignal, goAway: () => void) => Promise<unknown>): Promise<AbortSignal> {
  const caller = new AbortController();
  const app = Fastify();
  const closed = new Promise<AbortSignal>((resolve) => {
    app.get('/', async (_request, reply) => {
      const signal = goneSignal(reply);
      reply.raw.once('close', () => resolve(signal));
      await work(signal, () => caller.abort());
      return 'an answer';
    });
  });
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  const asked = fetch(url, { signal: caller.signal }).then((answer) => answer.text());
  await asked.catch(() => undefined); // the caller that goes away
  const signal = await closed;
  await app.close();
  return signal;
}

test('a caller that goes away before its answer ends the work for it', async () => {
  const signal = await signalOf((gone, goAway) => {
    goAway();
    return once(gone, 'abort');
  });
  expect(signal.reason).toMatchObject({ message: 'the caller went away' });
});

test('a caller that has its answer ends nothing', async () => {
  expect((await signalOf(async () => undefined)).aborted).toBe(false);
});
