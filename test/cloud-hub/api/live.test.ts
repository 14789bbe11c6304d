import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LIVE_PATH, LIVE_PROTOCOL, LiveChannel } from '@tidegate/cloud-hub/api/live.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import type { Caller } from '@tidegate/cloud-hub/security/tokens.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { ManualClock } from '../../support/manual-clock.js';

const EVENT: LiveEvent = {
  kind: 'device',
  device: {
    id: 'cam-1',
    name: 'cam-1',
    group: 'g',
    online: true,
    revoked: false,
    enrolledAt: 'now',
    desiredVersion: 1,
    models: [],
  },
};
const caller = (scope: 'read' | 'infer'): Caller => ({ actor: `token:${scope}`, tokenId: scope, scopes: [scope] });
const callers: Record<string, Caller> = { reader: caller('read'), asker: caller('infer') };

let events: HubEvents;
let clock: ManualClock;
let live: LiveChannel;
let server: Server;
let url: string;

beforeEach(async () => {
  events = new HubEvents(silentLog);
  clock = new ManualClock();
  live = new LiveChannel({ tokens: { verify: async (text) => callers[text] }, events, clock, log: silentLog });
  server = createServer().on('upgrade', (request, socket, head) => void live.upgrade(request, socket, head));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  live.close();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

async function connect(token: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url}${LIVE_PATH}`, [LIVE_PROTOCOL, `tidegate.token.${token}`]);
  await once(socket, 'open');
  return socket;
}

/** The status that an upgrade was refused with. */
async function refusal(path: string, headers: Record<string, string> = {}, protocols: string[] = []): Promise<number> {
  const socket = new WebSocket(`${url}${path}`, protocols, { headers });
  socket.on('error', () => undefined);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
  socket.terminate();
  return response.statusCode;
}

describe('a client with a token', () => {
  test('gets events, as a browser sends the token and as a program does', async () => {
    const browser = await connect('reader');
    const program = new WebSocket(`${url}${LIVE_PATH}`, { headers: { authorization: 'Bearer reader' } });
    await once(program, 'open');
    expect(browser.protocol).toBe(LIVE_PROTOCOL);
    const received = Promise.all([once(browser, 'message'), once(program, 'message')]);
    events.emit(EVENT);
    for (const [data] of await received) expect(JSON.parse(String(data))).toEqual(EVENT);
  });

  test('is forgotten when it leaves', async () => {
    const socket = await connect('reader');
    expect(live.clientCount).toBe(1);
    socket.close();
    await once(socket, 'close');
    await expect.poll(() => live.clientCount).toBe(0);
    events.emit(EVENT);
  });

  test('is told when the hub stops', async () => {
    const socket = await connect('reader');
    const closed = once(socket, 'close');
    live.close();
    expect((await closed)[0]).toBe(1001);
  });

  test('that answers no ping is dropped', async () => {
    const socket = await connect('reader');
    const mute = socket as unknown as { _socket: { pause(): void } };
    mute._socket.pause();
    clock.advance(30_000);
    clock.advance(30_000);
    await expect.poll(() => live.clientCount).toBe(0);
    socket.terminate();
  });

  test('that sends much is dropped', async () => {
    const socket = await connect('reader');
    const closed = once(socket, 'close');
    socket.on('error', () => undefined);
    socket.send('x'.repeat(10_000));
    expect((await closed)[0]).toBe(1009);
  });
});

describe('others are refused', () => {
  test.each([
    ['no token', LIVE_PATH, {}, [], 401],
    ['a wrong token', LIVE_PATH, {}, [LIVE_PROTOCOL, 'tidegate.token.nobody'], 401],
    ['a token without the scope', LIVE_PATH, { authorization: 'Bearer asker' }, [], 403],
    ['another path', '/api/v1/dead', { authorization: 'Bearer reader' }, [], 404],
  ] as const)('%s', async (_what, path, headers, protocols, status) => {
    expect(await refusal(path, headers, [...protocols])).toBe(status);
  });
});

test('a listener that throws harms nobody', () => {
  const seen: LiveEvent[] = [];
  const stop = events.on(() => {
    throw new Error('mine');
  });
  events.on((event) => seen.push(event));
  events.emit(EVENT);
  stop();
  events.emit(EVENT);
  expect(seen.length).toBe(2);
});
