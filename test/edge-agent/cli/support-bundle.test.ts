// A bundle of an enrolled device whose agent runs and has answered: it says what support needs, and every secret that the
// device has is looked for in it and not found.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { identityPaths, loadIdentity } from '@tidegate/edge-agent/identity/identity.js';
import { systemClock as clock } from '@tidegate/shared/system/clock.js';
import { systemFiles as files } from '@tidegate/shared/system/files.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { examplesFolder, runAgent, startAgent, type AgentProcess } from '../../support/agent-process.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('support-bundle');
const API_TOKEN = 'the-api-token-4711-secret';
const HUB_TOKEN = 'hub-token-of-this-device-0815';
const INPUT = 0.123456789;
const CAPTURED = 'a captured sample that nobody may see';
let hub: DeviceHub;
let agent: AgentProcess;
let dataDir: string;
let enrolToken: string;

beforeAll(async () => {
  hub = await startDeviceHub(newFolder());
  dataDir = newFolder();
  enrolToken = await hub.newToken();
  await enrol({ dataDir, token: enrolToken }, { files, clock }, new AbortController().signal);
  mkdirSync(join(dataDir, 'captures'));
  writeFileSync(join(dataDir, 'captures', 'one'), CAPTURED);
  agent = await startAgent(['serve', join(examplesFolder, 'digits')], {
    environment: { TIDEGATE_API_TOKEN: API_TOKEN },
  });
  const data = new Array<number>(784).fill(INPUT);
  const body = { id: 'asked-once', inputs: [{ name: 'image', shape: [1, 1, 28, 28], datatype: 'FP32', data }] };
  const answer = await fetch(`${agent.url}/v2/models/digits/infer`, {
    method: 'POST',
    headers: { authorization: `Bearer ${API_TOKEN}` },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(200);
});
afterAll(async () => {
  await agent.stop();
  await hub.close();
});

async function bundle(port: string, ...more: string[]) {
  const out = join(newFolder(), 'support.tar.gz');
  const args = [
    'support-bundle',
    '--out',
    out,
    '--data-dir',
    dataDir,
    '--http-port',
    port,
    '--grpc-port',
    'off',
    ...more,
  ];
  const environment = {
    TIDEGATE_API_TOKEN: API_TOKEN,
    TIDEGATE_HUB: 'http://127.0.0.1:9',
    TIDEGATE_HUB_TOKEN: HUB_TOKEN,
  };
  const ended = await runAgent(args, { environment });
  const folder = newFolder();
  if (ended.code === 0) execFileSync('tar', ['-xzf', out, '-C', folder]);
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const all = readdirSync(folder).map(read).join('\n');
  return { ...ended, out, read, all };
}

describe('support-bundle', () => {
  it('tells of a running agent all that is asked first, and no secret', async () => {
    const log = join(newFolder(), 'agent.log');
    const key = readFileSync(identityPaths(dataDir).key, 'utf8');
    const noise = [`authorization: Bearer ${API_TOKEN}`, `--token ${enrolToken}`, key, `hub token ${HUB_TOKEN}`];
    writeFileSync(log, `${noise.join('\n')}\nserving models=1\n`);
    const { code, stderr, stdout, out, read, all } = await bundle(new URL(agent.url).port, '--log-file', log, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(statSync(out).mode & 0o777).toBe(0o600);
    const written = (JSON.parse(stdout) as { files: string[] }).files;
    for (const name of [
      'versions',
      'settings',
      'doctor',
      'status',
      'models',
      'cache',
      'explain',
      'identity',
      'active',
    ]) {
      expect(written).toContain(`${name}.json`);
    }
    expect(read('settings.json')).toContain('"api-token": "(set, hidden)"');
    expect(read('explain.json')).toContain('asked-once');
    expect(read('metrics.txt')).toContain('tidegate_requests_total{model="digits"');
    expect(read('identity.json')).toContain((await loadIdentity(dataDir, files)).deviceId);
    expect(read('log.txt')).toContain('serving models=1');
    const keyLines = key.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'));
    for (const secret of [API_TOKEN, HUB_TOKEN, enrolToken, CAPTURED, String(INPUT), 'PRIVATE KEY', ...keyLines]) {
      expect([secret, all.includes(secret)]).toEqual([secret, false]);
    }
  });

  it('works without an agent, and says what is missing and why', async () => {
    const { code, read } = await bundle('1');
    expect(code).toBe(0);
    expect(read('README.txt')).toMatch(/^status\.json: no agent answers at 127\.0\.0\.1:1/m);
    expect(read('doctor.json')).toContain('"check": "hub answer"');
  });

  it('needs a place to write to', async () => {
    expect(await runAgent(['support-bundle'])).toMatchObject({ code: 2 });
    const nowhere = join(identityPaths(dataDir).document, 'x.tar.gz');
    const failed = await runAgent(['support-bundle', '--out', nowhere, '--data-dir', dataDir, '--http-port', '1']);
    expect(failed.code).toBe(1);
  });
});
