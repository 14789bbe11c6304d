// Shared answers over the device port, real TLS and client certificates, from the agent's own client.
import { AnswerDoor } from '@tidegate/cloud-hub/api/device/answer-door.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { hubDispatcher, trustOf } from '@tidegate/edge-agent/identity/hub-transport.js';
import { SharedAnswersApi } from '@tidegate/edge-agent/sync/shared-answers-api.js';
import type { AnswerOffer } from '@tidegate/edge-agent/cache/shared-layer.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { LIMIT_SHARED_ANSWER_BYTES } from '@tidegate/shared/wire/shared-answer.js';
import { Agent, request, type Dispatcher } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addDigits, DIGITS_V1 } from '../../../support/captured-samples.js';
import { startDeviceHub, type DeviceHub } from '../../../support/device-hub.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const folder = temporaryFolders('answer-door');
const never = new AbortController().signal;
const dispatchers: Dispatcher[] = [];
let hub: DeviceHub;
let caPem: string;
let one: SharedAnswersApi;
let two: SharedAnswersApi;

beforeAll(async () => {
  hub = await startDeviceHub(folder());
  const shares = { fallback: 'hub', capture: 'none', telemetry: 'figures', answers: 'hub' } as const;
  await addDigits(hub.db, hub.content, shares);
  [one, two] = [await enrolled('cam-1'), await enrolled('cam-2')];
});
afterAll(async () => {
  for (const dispatcher of dispatchers) await dispatcher.destroy();
  await hub.close();
});

async function enrolled(name: string): Promise<SharedAnswersApi> {
  const options = { dataDir: folder(), token: await hub.newToken(), name };
  const identity = await enrol(options, { files: systemFiles, clock: systemClock }, never);
  const dispatcher = hubDispatcher(trustOf(identity, { clock: systemClock, floorMs: () => Date.now() }));
  dispatchers.push(dispatcher);
  ({ caPem } = identity);
  return new SharedAnswersApi({ deviceUrl: hub.url, dispatcher });
}

const key = (letter: string): string => letter.repeat(43);
const offer = (part: Partial<AnswerOffer> = {}): AnswerOffer => ({
  key: key('a'),
  labels: { model: 'digits', tags: ['shelf:1'] },
  ...DIGITS_V1,
  body: Buffer.from('an answer'),
  ...part,
});
const raw = (path: string, method: 'GET' | 'PUT' | 'POST', body?: string) =>
  request(hub.url + path, { dispatcher: dispatchers[0]!, method, body: body ?? null });

describe('shared answers', () => {
  test('come back byte for byte, with their age, once two devices said the same; a tag drops them', async () => {
    await one.offer(offer(), never);
    await one.offer(offer(), never);
    expect(await two.get(key('a'), never)).toBeUndefined();
    await two.offer(offer(), never);
    const found = await one.get(key('a'), never);
    expect(Buffer.from(found?.body ?? []).toString()).toBe('an answer');
    expect(found?.ageMs).toBeGreaterThanOrEqual(0);
    expect(hub.answers.drop({ tag: 'shelf:1' })).toBe(1);
  });

  test.each([
    [
      'of a model that shares none',
      { labels: { model: 'other', tags: [] } },
      /403.*variant: .*no such variant of other/,
    ],
    ['of a variant that is not the hub’s', { variantDigest: `sha256:${'0'.repeat(64)}` }, /403.*no such variant/],
    ['with a key that is none', { key: 'short' }, /400.*key: must be 43 characters/],
    ['with a tag too many', { labels: { model: 'digits', tags: 'abcdefghi'.split('') } }, /400.*query tag/],
    ['that is too large', { body: Buffer.alloc(LIMIT_SHARED_ANSWER_BYTES + 1) }, /413/],
    ['that is empty', { body: Buffer.alloc(0) }, /400.*empty/],
  ])('%s are refused, and say why', async (_what, part, text) => {
    await expect(one.offer(offer(part), never)).rejects.toThrow(text);
    expect(hub.answers.counts.waiting).toBe(0);
  });

  test('of a version whose policy keeps them on the device are refused by the hub too', async () => {
    const privacy = JSON.stringify({ fallback: 'hub', capture: 'none', telemetry: 'figures', answers: 'none' });
    const before = await hub.db.selectFrom('versions').select('privacy').executeTakeFirstOrThrow();
    await hub.db.updateTable('versions').set({ privacy }).execute();
    await expect(one.offer(offer(), never)).rejects.toThrow(/403.*shares no answers/);
    await hub.db.updateTable('versions').set(before).execute();
  });

  test('need a certificate of this hub, and GET or PUT', async () => {
    const stranger = new Agent({ connect: { ca: caPem } });
    await expect(
      new SharedAnswersApi({ deviceUrl: hub.url, dispatcher: stranger }).get(key('a'), never),
    ).rejects.toThrow(/401/);
    await stranger.destroy();
    expect((await raw(devicePaths.answer(key('a')), 'POST')).statusCode).toBe(405);
  });

  test('name what is wrong in the query', async () => {
    const answer = await raw(`${devicePaths.answer(key('a'))}?model=digits&version=1&variant=2`, 'PUT', 'x');
    expect([answer.statusCode, await answer.body.json()]).toMatchObject([400, { field: 'version' }]);
  });

  test('are none where the hub shares none', async () => {
    const door = new AnswerDoor({ answers: undefined, refuse: async () => undefined });
    await expect(door.answer({} as never, {} as never, key('a'), 'cam-1')).rejects.toMatchObject({ status: 404 });
  });
});
