// The port's sorting of requests, over stand-ins that say who was asked.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HubFront } from '@tidegate/cloud-hub/api/hub-front.js';
import { HubMetrics } from '@tidegate/cloud-hub/api/hub-metrics.js';
import type { LiveChannel } from '@tidegate/cloud-hub/api/live.js';
import type { StaticFiles } from '@tidegate/cloud-hub/api/static-files.js';
import type { OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { SharedAnswers } from '@tidegate/cloud-hub/shared-cache/shared-answers.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { afterAll, beforeAll, expect, test } from 'vitest';

const clock = systemClock;
const own = new AnswerCache({ layers: [new MemoryLayer({ limitBytes: 4096 }, { clock })], clock });
const metrics = new HubMetrics({
  memory: () => ({
    budgetBytes: 1000,
    usedBytes: 900,
    ownBytes: 100,
    loads: 5,
    evictions: { budget: 2, 'keep-alive': 1, 'over-budget': 0 },
    refusals: 4,
    overBudget: 0,
  }),
  inMemory: () => [
    { model: 'digits', version: 7, bytes: 500, threads: 2 },
    { model: 'digits', version: 8, bytes: 300, threads: 1 },
  ],
  cores: () => ({ count: 2, busy: 1, waiting: 6 }),
  liveClients: () => 2,
  connectedDevices: () => 5,
  inferencesInFlight: () => 1,
  providerFallbacks: () => [{ deviceClass: 'x64/webgpu/2c/4g', model: 'ocr', devices: 3 }],
  ownAnswers: () => own.counts,
  sharedAnswers: () => new SharedAnswers({ limitBytes: 4096, witnesses: 2 }, { clock: systemClock }).counts,
  spans: () => ({ exported: 7, dropped: 0, failed: 1 }),
});
let server: Server;
let url: string;

const says =
  (who: string) =>
  (_request: IncomingMessage, response: ServerResponse): boolean => {
    response.end(who);
    return true;
  };
/** Whose share the last inference took. */
let identity: string | undefined;
const infers = (_request: IncomingMessage, response: ServerResponse, caller?: { identity?: string }): boolean => {
  identity = caller?.identity;
  return says('inference')(_request, response);
};

beforeAll(async () => {
  const front = new HubFront({
    api: { routing: says('api') },
    live: {} as LiveChannel,
    tokens: {
      verify: async (text) => {
        if (text === 'boom') throw new Error('the database is gone');
        return text === 'ok' ? { actor: 'token:ok', tokenId: 'ok', scopes: ['infer'] } : undefined;
      },
    },
    console: { answer: says('console') } as unknown as StaticFiles,
    metrics,
    inference: Object.assign(infers, { drain: () => undefined, inFlight: () => 0 }) as OipHandler,
    log: silentLog,
  });
  server = createServer(front.handle).listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

const get = async (path: string, token?: string): Promise<string> => {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(`${url}${path}`, { headers });
  return `${answer.status} ${await answer.text()}`;
};

test.each([
  ['/api', '200 api'],
  ['/api/v1/models?x', '200 api'],
  ['/apis', '200 console'],
  ['/', '200 console'],
  ['/v20', '200 console'],
  ['/v2/health/live', '200 inference'],
  ['/v2/health/ready', '200 inference'],
])('%s is answered: %s', async (path, answer) => expect(await get(path)).toBe(answer));

test('inference needs a token; a failure to check it is no way in, and harms no later request', async () => {
  for (const path of ['/v2', '/v2/models/m', '/v2/health/live/../../models/m']) {
    expect(await get(path)).toMatch(/^401 /);
    expect(await get(path, 'ok')).toBe('200 inference');
    expect(identity).toBe('token:ok');
  }
  expect(await get('/v2/models/m', 'boom')).toMatch(/^500 .*"error"/);
  expect(await get('/v2/models/m', 'ok')).toBe('200 inference');
});

test('metrics count what was answered, by area and status', async () => {
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(text).toMatch(/requests_total\{area="v2",status="4xx"\} \d/);
  expect(text).toContain('tidegate_hub_loaded_models 2');
  expect(text).toContain('tidegate_hub_memory_budget_bytes 1000');
  expect(text).toContain('tidegate_hub_memory_used_bytes 900');
  expect(text).toContain('tidegate_hub_cores_waiting 6');
  expect(text).toContain('tidegate_hub_model_memory_bytes{model="digits",version="7"} 500');
  expect(text).toContain('tidegate_hub_model_threads{model="digits",version="7"} 2');
  expect(text).toContain('tidegate_hub_model_loads_total 5');
  expect(text).toContain('tidegate_hub_model_evictions_total{why="budget"} 2');
  expect(text).toContain('tidegate_hub_model_memory_refused_total 4');
  expect(text).toContain('tidegate_hub_cache_limit_bytes 4096');
  expect(text).toContain('tidegate_hub_cache_hits_total 0');
  expect(text).toContain('tidegate_hub_cache_joined_total 0');
  expect(text).toContain('tidegate_hub_live_clients 2');
  expect(text).toContain('tidegate_hub_connected_devices 5');
  expect(text).toContain('tidegate_hub_inferences_in_flight 1');
  expect(text).toContain('tidegate_hub_provider_fallback_devices{class="x64/webgpu/2c/4g",model="ocr"} 3');
});
