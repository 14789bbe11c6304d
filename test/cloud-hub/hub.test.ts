// The hub as a whole, in this process, with real executors: publish, the version's way to ready, inference, restart.
import { follow, openForPublish, publish } from '@tidegate/cloud-hub/cli/publish.js';
import { liveEventSchema, type LiveEvent, type Version } from '@tidegate/shared/wire/admin-api.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { WebSocket } from 'ws';
import { writeBarePackage } from '../support/bare-package.js';
import { openApiProblems } from '../support/openapi.js';
import { runHub, type RunningHub } from '../support/running-hub.js';
import { silentStreams } from '../support/silent-streams.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const folder = temporaryFolders('hub');
const PACKAGE = writeBarePackage(folder(), 'bare', { version: 'first' });
let running: RunningHub;

beforeAll(async () => {
  running = await runHub(folder());
});
afterAll(() => running.hub.drain());

async function infer(path: string, token: string | undefined): Promise<Response> {
  return fetch(`${running.url}${path}`, {
    method: 'POST',
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 1, 1, 1] }] }),
  });
}

describe('a hub that a package is published to', () => {
  let version: Version;

  test('tells it live to whoever listens', async () => {
    const url = `${running.url.replace('http', 'ws')}/api/v1/live`;
    const socket = new WebSocket(url, ['tidegate.live.v1', `tidegate.token.${running.token}`]);
    const events: LiveEvent[] = [];
    socket.on('message', (data) => events.push(liveEventSchema.parse(JSON.parse(String(data)))));
    await new Promise((resolve) => socket.once('open', resolve));
    const pack = await openForPublish(PACKAGE);
    await follow(
      running.client,
      await publish(running.client, pack, { allowUnknownLicence: false }, silentStreams),
      silentStreams,
    );
    const states = (): string[] => events.flatMap((event) => (event.kind === 'version' ? [event.version.state] : []));
    await expect.poll(states).toContain('ready');
    socket.close();
  });

  test('takes it, checks it in an executor, and has it ready', async () => {
    const pack = await openForPublish(PACKAGE);
    const started = await publish(running.client, pack, { allowUnknownLicence: false }, silentStreams);
    version = await follow(running.client, started, silentStreams);
    expect(version).toMatchObject({ model: 'bare', version: 1, label: 'first', state: 'ready', licence: 'Apache-2.0' });
    expect(version.digest).toBe(pack.versionDigest);
  });

  test('gives the same version for the same content', async () => {
    const pack = await openForPublish(PACKAGE);
    const again = await publish(running.client, pack, { allowUnknownLicence: false }, silentStreams);
    expect(again).toMatchObject({ version: 1, digest: version.digest, state: 'ready' });
  });

  test('answers the protocol with it, and says that the hub did', async () => {
    const answer = await infer('/v2/models/bare/infer', running.token);
    expect(answer.status).toBe(200);
    const json = (await answer.json()) as { parameters: Record<string, unknown>; outputs: { data: number[] }[] };
    expect(json.outputs[0]?.data).toEqual([1.5, 2.5, 3.5, 4.5]);
    expect(json.parameters).toMatchObject({ placement: 'hub', model_digest: version.digest, variant: 'fp32' });
  });

  test('keeps it over a restart', async () => {
    running = await running.restart();
    const metadata = await running.client.raw('GET', '/v2/models/bare');
    expect(metadata.status).toBe(200);
    expect(JSON.parse(new TextDecoder().decode(metadata.body))).toMatchObject({ name: 'bare', versions: ['1'] });
  });
});

describe('who may ask the models', () => {
  const create = async (scopes: string[]): Promise<string> => {
    const schema = z.object({ token: z.string() });
    return (await running.client.post('/api/v1/tokens', { name: scopes.join(), scopes }, schema)).token;
  };

  test('a token with the scope infer may ask, and nothing else', async () => {
    const token = await create(['infer']);
    expect((await infer('/v2/models/bare/infer', token)).status).toBe(200);
    const models = await fetch(`${running.url}/api/v1/models`, { headers: { authorization: `Bearer ${token}` } });
    expect(models.status).toBe(403);
  });

  test('others are refused in the protocol’s own form, in the middle of a connection too', async () => {
    for (const [token, status] of [
      [undefined, 401],
      ['tgk_wrong', 401],
      [await create(['read', 'publish', 'operate']), 403],
    ] as const) {
      const answer = await infer('/v2/models/bare/infer', token);
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toBe('application/json');
      expect(await answer.json()).toEqual({ error: expect.stringContaining('infer') });
    }
    expect((await infer('/v2/models/bare/infer', running.token)).status).toBe(200);
  });

  test('health needs none', async () => {
    for (const path of ['/v2/health/live', '/v2/health/ready', '/api/v1/health']) {
      expect((await fetch(`${running.url}${path}`)).status).toBe(200);
    }
  });
});

describe('what a hub says of itself', () => {
  test('its API as OpenAPI 3.1 that holds together', async () => {
    const description = (await (await fetch(`${running.url}/api/openapi.json`)).json()) as Record<string, unknown>;
    expect(openApiProblems(description)).toEqual([]);
    const broken = { ...description, paths: { '/x/{y}': { get: { responses: { 200: { description: '' } } } } } };
    expect(openApiProblems(broken)).toEqual(['get /x/{y}: path parameters  for y']);
    const paths = Object.keys(description['paths'] as object);
    for (const path of [
      '/api/v1/models',
      '/api/v1/uploads/{id}/files/{hex}',
      '/api/v1/rollouts',
      '/api/v1/jobs/{id}/cancel',
      '/api/v1/models/{model}/versions/{version}/lineage',
      '/api/v1/devices',
      '/api/v1/tokens',
      '/api/v1/audit',
    ]) {
      expect(paths).toContain(path);
    }
  });

  test('a page of it that needs nothing from elsewhere', async () => {
    const page = await fetch(`${running.url}/api/docs`);
    const html = await page.text();
    expect(html).toContain('/api/openapi.json');
    expect(html).not.toMatch(/(src|href)="https?:/);
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'.*script-src 'sha256-/);
  });

  test('metrics', async () => {
    const text = await (await fetch(`${running.url}/metrics`)).text();
    expect(text).toMatch(/tidegate_hub_http_requests_total\{area="api",status="2xx"\} \d+/);
    expect(text).toMatch(/tidegate_hub_loaded_models 1/);
  });
});
