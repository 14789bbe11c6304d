// Against a real HTTP server that answers as a test says; real files; time is the test's own.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CaptureCounts } from '@tidegate/edge-agent/capture/capture-counts.js';
import { CaptureSender, type CapturePermission } from '@tidegate/edge-agent/capture/capture-sender.js';
import { CaptureStore } from '@tidegate/edge-agent/capture/capture-store.js';
import type { CaptureReason } from '@tidegate/edge-agent/capture/choose-rows.js';
import { HttpsDeviceApi } from '@tidegate/edge-agent/sync/device-api.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { hexOf } from '@tidegate/shared/wire/digest.js';
import { decodeSample, sampleId } from '@tidegate/shared/wire/sample.js';
import { digitSample } from '../../support/captured-samples.js';
import { ManualClock } from '../../support/manual-clock.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('capture-sender');
const dispatcher = new Agent();
/** What the hub was sent, in order. */
let asked: { readonly hex: string; readonly seed: number }[];
/** A status and words, or nothing for a connection that breaks. */
let answer: (seed: number) => readonly [number, string, string?, Record<string, string>?] | undefined;
let changed: () => void = () => undefined;

const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const seed = decodeSample(Buffer.concat(chunks)).facts.capturedAtMs - 1000;
    asked.push({ hex: request.url?.split('/').at(-1) ?? '', seed });
    const answered = answer(seed);
    if (answered === undefined) request.socket.destroy();
    else
      response
        .writeHead(answered[0], answered[3])
        .end(JSON.stringify({ error: answered[1], code: answered[2] ?? 'other' }));
    changed();
  });
});
let deviceUrl: string;
let device: Awaited<ReturnType<typeof setUp>>;

async function setUp() {
  const counts = new CaptureCounts();
  const log = recordedLog();
  const clock = new ManualClock();
  const options = { dataDir: folder(), limitBytes: 10_000_000 };
  const files = { ...systemFiles };
  const store = await CaptureStore.open(options, { files, counts, log });
  const api = new HttpsDeviceApi({ deviceUrl, dispatcher });
  const policy = new Map<string, CapturePermission>();
  const sender = new CaptureSender(
    {
      store,
      counts,
      clock,
      log,
      random: { next: () => 1 },
      send: (hex, body, signal) => api.sample(hex, body, signal),
      permission: (model) => policy.get(model) ?? 'allowed',
    },
    { baseMs: 1000, maxMs: 8000 },
  );
  const keep = async (seed: number, reason: CaptureReason = 'low-confidence', model = 'digits'): Promise<void> => {
    expect(await store.add(digitSample(seed, { reason, model }), { model, reason })).toBe(true);
    sender.wake();
  };
  return { store, sender, counts, log, clock, policy, files, keep };
}

const seeds = (): number[] => asked.map(({ seed }) => seed);
/** Looks after each answer of the hub and each turn of the loop. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 2);
      changed = () => (clearTimeout(timer), setImmediate(resolve));
    });
  }
}
/** Nothing waits any more, and the sender has settled. */
const drained = (): Promise<void> => until(() => device.store.count === 0 && device.clock.timerCount > 0);
/** The sender has nothing to do but wait for the clock. */
const waits = (): Promise<void> => until(() => device.clock.timerCount > 0);

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  deviceUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await dispatcher.destroy();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(async () => {
  asked = [];
  answer = () => [201, ''];
  device = await setUp();
});
afterEach(() => device.sender.stop());

describe('sending samples', () => {
  it('goes by digest, low confidence first, the oldest first, and deletes what the hub has', async () => {
    const { sender, counts, keep } = device;
    await keep(4, 'random-share');
    await keep(1);
    await keep(2);
    answer = (seed) => [seed === 1 ? 200 : 201, ''];
    sender.start();
    await drained();
    expect(seeds()).toEqual([1, 2, 4]);
    expect(asked[0]?.hex).toBe(hexOf(sampleId(digitSample(1))));
    expect(counts.totals).toMatchObject({ sent: 3, dropped: {} });
  });

  it('is woken by a new capture', async () => {
    device.sender.start();
    await waits();
    await device.keep(1);
    await drained();
    expect(seeds()).toEqual([1]);
  });

  it.each([
    [400, 'invalid'],
    [403, 'forbidden'],
    [413, 'body-too-large'],
    [422, 'invalid'],
  ])('drops what the hub refuses with %i %s, with its words in the log', async (status, code) => {
    const { sender, counts, log, keep } = device;
    await keep(1);
    await keep(2);
    answer = (seed) => (seed === 1 ? [status, 'because of the shape', code] : [201, '']);
    sender.start();
    await drained();
    expect(counts.totals).toMatchObject({ sent: 1, dropped: { refused: 1 } });
    expect(log.lines).toMatchObject([
      { level: 'warn', fields: { status, error: expect.stringContaining('because of the shape') as string } },
    ]);
  });

  it.each([
    [429, 'busy'],
    [503, 'busy'],
    [507, 'no-space'],
    [404, 'not-found'],
    [500, 'internal'],
    [403, 'certificate-expired'],
    [403, 'revoked'],
    [undefined, 'a connection that breaks'],
  ])('keeps it at a %s %s, and backs off', async (status, code) => {
    const { store, sender, clock, keep } = device;
    await keep(1);
    answer = () => (status === undefined ? undefined : [status, 'later', code]);
    sender.start();
    for (let i = 0; i < 6; i += 1) {
      await waits();
      expect(asked).toHaveLength(i + 1);
      await keep(10 + i); // new captures must not hurry a hub that does not answer
      clock.advance(Math.min(8000, 1000 * 2 ** i) - 1);
      await new Promise((resolve) => setImmediate(resolve));
      expect(asked).toHaveLength(i + 1);
      clock.advance(1);
      await until(() => asked.length === i + 2);
    }
    expect(store.count).toBe(7);
    expect(new Set(seeds())).toEqual(new Set([1]));
    answer = () => [201, ''];
    await waits();
    clock.advance(8000);
    await drained();
  });

  it('leaves a busy hub alone for as long as it asks, up to its own longest pause', async () => {
    const { sender, clock, keep } = device;
    await keep(1);
    answer = () => [429, 'busy', 'busy', { 'retry-after': asked.length === 1 ? '5' : '86400' }];
    sender.start();
    for (const [i, pauseMs] of [6000, 8000].entries()) {
      await waits();
      clock.advance(pauseMs - 1);
      await new Promise((resolve) => setImmediate(resolve));
      expect(asked).toHaveLength(i + 1);
      clock.advance(1);
      await until(() => asked.length === i + 2);
    }
  });

  it('tries at once when the link returns, and starts its pauses small again', async () => {
    const { sender, clock, keep } = device;
    await keep(1);
    answer = () => [503, 'later'];
    sender.start();
    await waits();
    sender.hubHeard();
    await until(() => asked.length === 2);
    await waits();
    clock.advance(1000);
    await until(() => asked.length === 3);
    answer = () => [201, ''];
    await waits();
    sender.hubHeard();
    await drained();
  });

  it('stops while one is on its way, and keeps it', async () => {
    const { store, sender, keep } = device;
    await keep(1);
    const hanging = new Promise<void>((resolve) => {
      answer = () => {
        resolve();
        return [201, ''];
      };
    });
    sender.start();
    await hanging;
    await sender.stop();
    expect(store.count).toBeLessThanOrEqual(1);
    expect(asked).toHaveLength(1);
  });
});

describe('the policy, asked right before', () => {
  it('deletes what was kept where it has become stricter, and sends the others', async () => {
    const { sender, counts, policy, keep, log } = device;
    await keep(1, 'low-confidence', 'faces');
    await keep(2);
    policy.set('faces', 'forbidden');
    sender.start();
    await drained();
    expect(seeds()).toEqual([2]);
    expect(counts.totals.dropped).toEqual({ policy: 1 });
    expect(log.lines.some(({ message }) => message.includes('allows no capture any more'))).toBe(true);
  });

  it('deletes also while the hub does not answer', async () => {
    const { sender, policy, keep } = device;
    await keep(1);
    answer = () => [503, 'later'];
    sender.start();
    await waits();
    policy.set('digits', 'forbidden');
    sender.hubHeard();
    await drained();
    expect(asked).toHaveLength(1);
  });

  it('is asked of each sample: what was queued behind one does not go once it is forbidden', async () => {
    const { sender, counts, policy, keep } = device;
    for (let seed = 1; seed <= 5; seed += 1) await keep(seed);
    answer = (seed) => {
      if (seed === 2) policy.set('digits', 'forbidden');
      return [201, ''];
    };
    sender.start();
    await drained();
    expect(seeds()).toEqual([1, 2]);
    expect(counts.totals).toMatchObject({ sent: 2, dropped: { policy: 3 } });
  });

  it('is asked once more when the sample has been read: what became forbidden meanwhile does not go', async () => {
    const { sender, counts, policy, files, keep } = device;
    await keep(1);
    files.read = (tag, path) => {
      policy.set('digits', 'forbidden');
      return systemFiles.read(tag, path);
    };
    sender.start();
    await drained();
    expect(asked).toEqual([]);
    expect(counts.totals).toMatchObject({ sent: 0, dropped: { policy: 1 } });
  });

  it('waits where nothing is known yet', async () => {
    const { store, sender, policy, keep } = device;
    await keep(1);
    policy.set('digits', 'unknown');
    sender.start();
    await waits();
    expect([asked.length, store.count]).toEqual([0, 1]);
    policy.set('digits', 'allowed');
    sender.hubHeard();
    await drained();
  });
});
