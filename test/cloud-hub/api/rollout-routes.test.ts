// Fleet and rollouts over HTTP: who may, which calls they become, and which problem an error of theirs is.
import { createApi, type Api } from '@tidegate/cloud-hub/api/api.js';
import { fleetRoutes, type EnrolmentTokens } from '@tidegate/cloud-hub/api/fleet-routes.js';
import { rolloutRoutes } from '@tidegate/cloud-hub/api/rollout-routes.js';
import type { FleetService } from '@tidegate/cloud-hub/fleet/fleet-service.js';
import { RolloutError } from '@tidegate/cloud-hub/rollouts/rollout-error.js';
import type { RolloutService } from '@tidegate/cloud-hub/rollouts/rollout-service.js';
import type { Scope } from '@tidegate/shared/wire/admin-api.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

let api: Api;
let calls: unknown[][];
let failure: Error | undefined;

/** Notes what it was called with; answers nothing, or fails as told. */
const noting =
  (name: string, answer: unknown = undefined) =>
  async (...args: unknown[]): Promise<never> => {
    calls.push([name, ...args]);
    if (failure !== undefined) throw failure;
    return answer as never;
  };

beforeAll(async () => {
  const rollouts = {
    create: noting('create'),
    createOnce: noting('createOnce', { rollout: undefined, added: false }),
    list: noting('list', { items: [] }),
    get: noting('get'),
    pause: noting('pause'),
    resume: noting('resume'),
    abort: noting('abort'),
  };
  const fleet = {
    devices: noting('devices', { items: [] }),
    device: noting('device'),
    recentTelemetry: noting('recentTelemetry', []),
    configureGroup: noting('configureGroup'),
  };
  const tokens: EnrolmentTokens = { create: noting('enrolment', { id: 'e1', token: 'tg1.x', expiresAt: 'then' }) };
  api = await createApi(
    {
      tokens: { verify: async (text) => ({ actor: `token:${text}`, tokenId: text, scopes: [text as Scope] }) },
      log: silentLog,
      version: '1',
    },
    [
      fleetRoutes(fleet as unknown as FleetService, tokens, noting('revoke', true)),
      rolloutRoutes(rollouts as unknown as RolloutService),
    ],
  );
});
afterAll(() => api.close());
beforeEach(() => {
  calls = [];
  failure = undefined;
});

const ask = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, token: Scope, payload?: object) =>
  api.inject({
    method,
    url,
    headers: { authorization: `Bearer ${token}` },
    ...(payload === undefined ? {} : { payload }),
  });

describe('shutting a device out', () => {
  test('needs the scope operate, and a device', async () => {
    expect((await ask('DELETE', '/api/v1/devices/cam-1', 'read')).statusCode).toBe(403);
    expect((await ask('DELETE', '/api/v1/devices/cam-1', 'operate')).statusCode).toBe(404);
    expect(calls).toEqual([['device', 'cam-1']]);
  });
});

describe('reading', () => {
  test('lists pass their limit, group and cursor on', async () => {
    expect((await ask('GET', '/api/v1/devices?group=g&limit=3&cursor=c', 'read')).json()).toEqual({ items: [] });
    expect((await ask('GET', '/api/v1/rollouts?limit=2', 'read')).json()).toEqual({ items: [] });
    expect((await ask('GET', '/api/v1/devices/cam-1/telemetry', 'read')).json()).toEqual({ items: [] });
    expect(calls).toEqual([
      ['devices', { limit: 3, group: 'g', cursor: 'c' }],
      ['list', 2, undefined],
      ['recentTelemetry', 'cam-1'],
    ]);
  });

  test('what isn’t there is 404 with its field', async () => {
    for (const path of ['/api/v1/devices/nobody', '/api/v1/rollouts/none']) {
      expect((await ask('GET', path, 'read')).json()).toMatchObject({ status: 404, field: 'id' });
    }
  });
});

describe('starting a rollout', () => {
  const body = { model: 'm', version: '1', group: 'g', waves: [1] };
  const start = (headers: Record<string, string>) =>
    api.inject({
      method: 'POST',
      url: '/api/v1/rollouts',
      headers: { authorization: 'Bearer operate', ...headers },
      payload: body,
    });

  test('under an Idempotency-Key is asked for once', async () => {
    await start({ 'idempotency-key': 'k 1' });
    await start({});
    expect(calls.map(([name, , actor, key]) => [name, actor, key])).toEqual([
      ['createOnce', 'token:operate', 'k 1'],
      ['create', 'token:operate', undefined],
    ]);
    expect((await start({ 'idempotency-key': 'ü'.repeat(201) })).statusCode).toBe(400);
  });
});

describe('changing', () => {
  test('needs the scope operate; reading is not enough', async () => {
    for (const [method, path, body] of [
      ['POST', '/api/v1/rollouts', { model: 'm', version: '1', group: 'g', waves: [1] }],
      ['POST', '/api/v1/rollouts/r/abort', undefined],
      ['PUT', '/api/v1/groups/g/config', { telemetryIntervalMs: 1000 }],
      ['POST', '/api/v1/enrolment-tokens', { group: 'g' }],
    ] as const) {
      expect((await ask(method, path, 'read', body)).statusCode).toBe(403);
    }
    expect(calls).toEqual([]);
  });

  test('tells who did it, with the defaults filled in', async () => {
    const created = await ask('POST', '/api/v1/enrolment-tokens', 'operate', { group: 'g' });
    expect([created.statusCode, created.json().token]).toEqual([201, 'tg1.x']);
    expect((await ask('PUT', '/api/v1/groups/g/config', 'operate', { telemetryIntervalMs: 1000 })).statusCode).toBe(
      200,
    );
    expect(calls).toEqual([
      ['enrolment', { group: 'g', uses: 1, expiresInSeconds: 3600 }, 'token:operate'],
      ['configureGroup', 'g', { telemetryIntervalMs: 1000 }, 'token:operate'],
    ]);
  });

  test.each([
    ['/api/v1/groups/NOT A GROUP/config', { telemetryIntervalMs: 1000 }, 'group'],
    ['/api/v1/groups/g/config', { telemetryIntervalMs: 1 }, 'telemetryIntervalMs'],
  ])('%s %j is refused by its field', async (path, body, field) => {
    expect((await ask('PUT', encodeURI(path), 'operate', body)).json()).toMatchObject({ status: 400, field });
  });

  test.each([
    [{ model: 'm', version: '1', group: 'g', waves: [] }, 'waves'],
    [{ model: 'm', version: '1', group: 'g', waves: [2] }, 'waves/0'],
    [{ model: 'm', version: '1', group: 'g', waves: [1], policy: { maxP99Ratio: 0 } }, 'policy/maxP99Ratio'],
    [{ model: 'm', version: '1', group: 'g', waves: [1], hurry: true }, 'hurry'],
  ])('the rollout %j is refused by its field', async (body, field) => {
    expect((await ask('POST', '/api/v1/rollouts', 'operate', body)).json()).toMatchObject({ status: 400, field });
  });

  test.each([
    ['invalid', 400],
    ['not-found', 404],
    ['conflict', 409],
  ] as const)('a rollout’s own error %s is %i', async (code, status) => {
    failure = new RolloutError(code, 'waves must rise', { field: 'waves' });
    const answer = await ask('POST', '/api/v1/rollouts/r1/pause', 'operate');
    expect(answer.json()).toMatchObject({ status, detail: 'waves must rise', field: 'waves' });
    expect(calls).toEqual([['pause', 'r1', 'token:operate']]);
  });
});
