import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DesiredPoller } from '@tidegate/edge-agent/sync/desired-poller.js';
import { HttpsDeviceApi, retryAfterMsOf } from '@tidegate/edge-agent/sync/device-api.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import { desiredState } from '../../support/fake-package-source.js';
import { ManualClock } from '../../support/manual-clock.js';

const signal = new AbortController().signal;
const dispatcher = new Agent();
let answer: (request: IncomingMessage, response: ServerResponse, body: string) => void;
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => answer(request, response, body));
});
let api: HttpsDeviceApi;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const deviceUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  api = new HttpsDeviceApi({ deviceUrl, dispatcher, timeoutMs: 300 });
});
afterAll(async () => {
  await dispatcher.destroy();
  await new Promise((resolve) => server.close(resolve));
});

describe('the device API, as the agent calls it', () => {
  it('asks with the ETag that it has, and understands 304', async () => {
    answer = (request, response) => {
      if (request.headers['if-none-match'] === '"3"') return response.writeHead(304).end();
      return response.writeHead(200, { etag: '"3"' }).end(JSON.stringify(desiredState(3, [])));
    };
    expect(await api.desired(undefined, signal)).toEqual({
      kind: 'document',
      desired: desiredState(3, []),
      etag: '"3"',
    });
    expect(await api.desired('"3"', signal)).toEqual({ kind: 'unchanged' });
  });

  it('sends reports by PUT and telemetry by POST', async () => {
    const calls: string[] = [];
    answer = (request, response, body) => {
      calls.push(`${request.method} ${request.url} ${body}`);
      response.writeHead(204).end();
    };
    const record = { deviceId: 'd', seq: 1, fromMs: 0, toMs: 1, evidence: [], events: [] };
    await api.telemetry(record, signal);
    await api.report({ seq: 2 } as Parameters<typeof api.report>[0], signal);
    expect(calls).toEqual([`POST /device/v1/telemetry ${JSON.stringify(record)}`, 'PUT /device/v1/reported {"seq":2}']);
  });

  it('puts a sample under its digest as it is, however slow the uplink', async () => {
    const calls: string[] = [];
    answer = (request, response, body) => {
      calls.push(`${request.method} ${request.url} ${request.headers['content-type']} ${body.length}`);
      setTimeout(() => response.writeHead(201).end(), 400); // more than this test's timeout for everything else
    };
    await api.sample('abc', new Uint8Array(16 * 1024), signal);
    expect(calls).toEqual(['PUT /device/v1/samples/abc application/octet-stream 16384']);
    answer = (_request, response) => response.writeHead(403).end('{"error":"no","code":"forbidden"}');
    await expect(api.sample('abc', new Uint8Array(1), signal)).rejects.toMatchObject({
      status: 403,
      hubCode: 'forbidden',
    });
  });

  it.each([
    ['2', 2000],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    [undefined, undefined],
  ])('reads a Retry-After of %s', async (value, retryAfterMs) => {
    answer = (_request, response) => response.writeHead(503, value === undefined ? {} : { 'retry-after': value }).end();
    const refused = await api.sample('abc', new Uint8Array(1), signal).catch((cause: Error) => cause);
    expect(refused).toMatchObject({ status: 503 });
    expect(retryAfterMsOf(refused as Error)).toBe(retryAfterMs);
  });

  it.each([
    [503, 'unreachable'],
    [429, 'unreachable'],
    [403, 'refused'],
    [400, 'refused'],
  ] as const)('a %i is %s, with the words of the hub', async (status, code) => {
    answer = (_request, response) => response.writeHead(status).end('{"error":"because"}');
    await expect(api.desired(undefined, signal)).rejects.toMatchObject({ code, status, message: /because/ });
  });

  it('refuses nonsense, a hanging hub and an endless answer', async () => {
    answer = (_request, response) => response.end('{"deviceId": 1}');
    await expect(api.desired(undefined, signal)).rejects.toMatchObject({ code: 'nonsense' });
    answer = () => undefined;
    await expect(api.desired(undefined, signal)).rejects.toMatchObject({ code: 'unreachable' });
    answer = (_request, response) => {
      const push = (): void => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      };
      response.on('drain', push);
      push();
    };
    await expect(api.desired(undefined, signal)).rejects.toMatchObject({ code: 'unreachable' });
  });

  it('ends with the reason of its signal', async () => {
    answer = () => undefined;
    await expect(api.desired(undefined, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  });
});

describe('asking for what is desired', () => {
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  function poller(answers: (DesiredState | Error | 'unchanged')[], connected = true) {
    const clock = new ManualClock();
    const asked: (string | undefined)[] = [];
    const accepted: number[] = [];
    const made = new DesiredPoller(
      {
        api: {
          desired: async (etag) => {
            asked.push(etag);
            const next = answers.shift() ?? 'unchanged';
            if (next instanceof Error) throw next;
            return next === 'unchanged'
              ? { kind: 'unchanged' }
              : { kind: 'document', desired: next, etag: `"${next.version}"` };
          },
        },
        clock,
        random: { next: () => 0.5 },
        log: silentLog,
        mqttConnected: () => connected,
        accept: (desired) => {
          accepted.push(desired.version);
          return desired.deviceId === 'device-1' ? 'taken' : 'foreign';
        },
      },
      { connectedIntervalMs: 1000, disconnectedIntervalMs: 100 },
    );
    made.start();
    return { made, clock, asked, accepted };
  }

  it('asks at once, then at the interval, and on a hint', async () => {
    const { made, clock, asked, accepted } = poller([desiredState(1, [])]);
    await settle();
    expect(asked).toEqual([undefined]);
    clock.advance(999);
    await settle();
    expect(asked).toHaveLength(1);
    clock.advance(1);
    await settle();
    expect(asked).toEqual([undefined, '"1"']);
    made.hint();
    await settle();
    expect(asked).toHaveLength(3);
    expect(accepted).toEqual([1]);
    await made.stop();
  });

  it('asks more often while MQTT is away, backs off while the hub is, and keeps no ETag of a foreign document', async () => {
    const { made, clock, asked } = poller([new Error('away'), desiredState(1, [], 'another')], false);
    await settle();
    expect(made.lastError).toBe('away');
    clock.advance(100);
    await settle();
    clock.advance(100);
    await settle();
    expect(asked).toEqual([undefined, undefined, undefined]);
    expect(made.lastError).toBeUndefined();
    await made.stop();
  });
});
