// The front over a real server: access before everything, and one answer to every request.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AgentFront } from '@tidegate/edge-agent/api/agent-front.js';
import { silentLog } from '@tidegate/shared/system/log.js';

const TOKEN = 'a-token-of-16-chars';
let server: Server;
let url: string;
let failMetrics = false;
const dropped: object[] = [];

beforeAll(async () => {
  const front = new AgentFront({
    oip: Object.assign(() => false, { drain: () => undefined, inFlight: () => 0 }),
    metrics: {
      contentType: 'text/plain; version=0.0.4',
      text: () => (failMetrics ? Promise.reject(new Error('broken')) : Promise.resolve('a_total 1\n')),
    } as never,
    log: silentLog,
    apiToken: TOKEN,
    status: {
      slots: { release: () => true },
      explanations: { latest: () => [] },
      cache: { drop: (selection: object) => (dropped.push(selection), {}) },
    } as never,
  });
  server = createServer(front.overTcp).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const get = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(url + path, { ...init, headers: { authorization: `Bearer ${TOKEN}` } });

describe('AgentFront', () => {
  it('asks for the token before anything else, as JSON', async () => {
    const refused = await fetch(`${url}/agent/v1/explain`);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('www-authenticate')).toBe('Bearer');
    expect(await refused.json()).toMatchObject({ error: expect.stringContaining('token') as string });
    expect((await get('/agent/v1/explain?x=1')).status).toBe(200);
  });

  it('answers metrics, also when they fail', async () => {
    expect(await (await get('/metrics')).text()).toBe('a_total 1\n');
    failMetrics = true;
    expect((await get('/metrics')).status).toBe(500);
    failMetrics = false;
  });

  it('takes only GET for its own routes', async () => {
    const answer = await get('/metrics', { method: 'POST', body: 'x'.repeat(100_000) });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET');
    expect((await get('/metrics', { method: 'HEAD' })).status).toBe(200);
  });

  it('drops from the cache by DELETE', async () => {
    expect((await get('/agent/v1/cache?model=m', { method: 'DELETE' })).status).toBe(200);
    expect(dropped).toEqual([{ model: 'm', tag: undefined }]);
    expect((await get('/agent/v1/status', { method: 'DELETE' })).status).toBe(405);
    expect((await get('/agent/v1/cache', { method: 'POST' })).headers.get('allow')).toBe('GET, DELETE');
    expect((await fetch(`${url}/agent/v1/cache`, { method: 'DELETE' })).status).toBe(401);
  });

  it('releases a model by POST, and only by that', async () => {
    const path = '/agent/v1/models/m/release';
    expect(await (await get(path, { method: 'POST' })).json()).toEqual({ model: 'm', released: true });
    expect((await get(path)).headers.get('allow')).toBe('POST');
    expect((await fetch(url + path, { method: 'POST' })).status).toBe(401);
  });
});
