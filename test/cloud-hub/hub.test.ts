// The hub as a whole, in this process, with real executors: publish, the version's way to ready, inference, restart.
import { fileURLToPath } from 'node:url';
import { follow, openForPublish, publish } from '@tidegate/cloud-hub/cli/publish.js';
import type { Version } from '@tidegate/shared/wire/admin-api.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runHub, type RunningHub } from '../support/running-hub.js';
import { silentStreams } from '../support/silent-streams.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const folder = temporaryFolders('hub');
const DIGITS = fileURLToPath(new URL('../../examples/digits', import.meta.url));
let running: RunningHub;

beforeAll(async () => {
  running = await runHub(folder());
});
afterAll(() => running.hub.drain());

describe('a hub that a package is published to', () => {
  let version: Version;

  test('takes it, checks it in an executor, and has it ready', async () => {
    const pack = await openForPublish(DIGITS);
    const started = await publish(running.client, pack, { allowUnknownLicence: false }, silentStreams);
    version = await follow(running.client, started, silentStreams);
    expect(version).toMatchObject({ model: 'digits', version: 1, label: '1.0', state: 'ready', licence: 'Apache-2.0' });
    expect(version.digest).toBe(pack.versionDigest);
  });

  test('gives the same version for the same content', async () => {
    const pack = await openForPublish(DIGITS);
    const again = await publish(running.client, pack, { allowUnknownLicence: false }, silentStreams);
    expect(again).toMatchObject({ version: 1, digest: version.digest, state: 'ready' });
  });

  test('answers the protocol with it, and says that the hub did', async () => {
    const body = {
      inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data: Array.from({ length: 784 }, () => 0) }],
    };
    const answer = await fetch(`${running.url}/v2/models/digits/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${running.token}` },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    const json = (await answer.json()) as { parameters: Record<string, unknown> };
    expect(json.parameters).toMatchObject({ placement: 'hub', model_digest: version.digest, variant: 'fp32' });
  });

  test('keeps it over a restart', async () => {
    running = await running.restart();
    const metadata = await running.client.raw('GET', '/v2/models/digits');
    expect(metadata.status).toBe(200);
    expect(JSON.parse(new TextDecoder().decode(metadata.body))).toMatchObject({ name: 'digits', versions: ['1'] });
  });
});
