// The operator's command line against a hub in this process: each noun, its JSON, its exit codes, its help.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { makeContext } from '@tidegate/cloud-hub/cli/context.js';
import { runProgram } from '@tidegate/cloud-hub/cli/program.js';
import { versionSchema } from '@tidegate/shared/wire/admin-api.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BARE_GRAPH, writeBarePackage } from '../../support/bare-package.js';
import { runHub, type RunningHub } from '../../support/running-hub.js';
import { recordedStreams } from '../../support/silent-streams.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('program');
const README = fileURLToPath(new URL('../../../examples/digits/README.md', import.meta.url));
const PACKAGE = writeBarePackage(folder(), 'bare', { version: 'v1.0' });
let running: RunningHub;

beforeAll(async () => {
  running = await runHub(folder());
});
afterAll(() => running.hub.drain());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(args: string[], environment?: Record<string, string>, stdin = ''): Promise<Ran> {
  const streams = recordedStreams();
  const variables = environment ?? { TIDEGATE_HUB: running.url, TIDEGATE_TOKEN: running.token };
  const context = makeContext({ ...streams, stdin: Readable.from([stdin]) }, variables);
  return { code: await runProgram(args, context), out: streams.out(), err: streams.err() };
}
const json = async (args: string[]): Promise<never> => JSON.parse((await run([...args, '--json'])).out) as never;

test('login checks the token, stores it, and everything after works with it', async () => {
  const environment = { TIDEGATE_CONFIG_DIR: folder() };
  const wrong = await run(['login', '--hub', running.url], environment, 'tgk_wrong\n');
  expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('valid bearer token') });
  const right = await run(['login', '--hub', running.url], environment, `${running.token}\n`);
  expect(right).toMatchObject({ code: 0, out: expect.stringContaining('as token:admin (admin)') });
  expect((await run(['token', 'list'], environment)).code).toBe(0);
});

describe('model', () => {
  test('publish follows the version to ready and prints it; again is the same; list and show find it', async () => {
    const published = await run(['model', 'publish', PACKAGE]);
    expect(published).toMatchObject({ code: 0, out: expect.stringMatching(/^bare@1 \(v1\.0\) {2}ready/) });
    expect(published.err).toContain('validating');
    const again = versionSchema.parse(await json(['model', 'publish', PACKAGE]));
    expect(again).toMatchObject({ version: 1, state: 'ready' });
    expect((await run(['model', 'list'])).out).toMatch(/^MODEL .*\nbare +1 /);
    expect((await run(['model', 'show', 'bare'])).out).toMatch(/1 +v1\.0 +ready/);
    for (const spec of ['1', 'v1.0', 'latest', again.digest.slice(7, 17)]) {
      expect(versionSchema.parse(await json(['model', 'show', `bare@${spec}`])).digest).toBe(again.digest);
    }
  });

  test('a refused package is exit code 1 with the reason', async () => {
    const bad = folder();
    await fs.writeFile(join(bad, 'm.onnx'), 'no model');
    const yaml = ['name: bad', 'licence: MIT', 'inputs: [{ name: x, datatype: FP32, shape: [1] }]'];
    yaml.push('outputs: [{ name: y, datatype: FP32, shape: [1] }]', 'pipeline: [{ graph: m.onnx }]');
    await fs.writeFile(join(bad, 'model.yaml'), yaml.join('\n'));
    const ran = await run(['model', 'publish', bad]);
    expect(ran).toMatchObject({
      code: 1,
      out: expect.stringContaining('bad@1  refused'),
      err: expect.stringContaining('m.onnx'),
    });
  });

  test('what can’t be published is said before anything is sent', async () => {
    const bare = BARE_GRAPH;
    expect(await run(['model', 'publish', bare])).toMatchObject({
      code: 2,
      err: expect.stringContaining('tidegate model init'),
    });
    expect(await run(['model', 'publish', join(folder(), 'nothing')])).toMatchObject({
      code: 1,
      err: expect.stringContaining('does not exist'),
    });
  });

  test('init writes a model.yaml that publish takes once it has a licence', async () => {
    const made = folder();
    await fs.copyFile(BARE_GRAPH, join(made, 'm.onnx'));
    expect(await run(['model', 'init', join(made, 'm.onnx'), '--name', 'derived'])).toMatchObject({ code: 0 });
    expect(await run(['model', 'init', join(made, 'm.onnx')])).toMatchObject({
      code: 1,
      err: expect.stringContaining('--force'),
    });
    const refused = await run(['model', 'publish', made]);
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('licence') });
    expect(await run(['model', 'publish', made, '--allow-unknown-licence'])).toMatchObject({ code: 0 });
    expect(await run(['model', 'init', join(made, 'no.onnx')])).toMatchObject({ code: 2 });
  });
});

describe('infer', () => {
  test('a JSON request goes as it is', async () => {
    const file = join(folder(), 'request.json');
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 1, 1, 1] }];
    await fs.writeFile(file, JSON.stringify({ inputs }));
    const ran = await run(['infer', 'bare', file]);
    expect(ran).toMatchObject({ code: 0, out: expect.stringMatching(/y +FP32\[1,4\] +1\.5000, 2\.5000/) });
    expect(ran.out).toContain('placement=hub');
    expect(await json(['infer', 'bare@1', file])).toMatchObject({ model_name: 'bare', model_version: '1' });
    expect(await run(['infer', 'bare@9', file])).toMatchObject({
      code: 1,
      err: expect.stringContaining('version 9'),
    });
  });

  test('a file for an input that takes none is wrong usage', async () => {
    expect(await run(['infer', 'bare', README])).toMatchObject({
      code: 2,
      err: expect.stringContaining('FP32'),
    });
    expect(await run(['infer', 'bare', join(folder(), 'none.png')])).toMatchObject({ code: 2 });
    expect(await run(['infer', 'nobody', README])).toMatchObject({
      code: 1,
      err: expect.stringContaining('nobody'),
    });
  });
});

describe('tokens, groups, devices, rollouts, audit', () => {
  test('a token is shown once, does what its scopes say, and ends when revoked', async () => {
    const created = (await json(['token', 'create', 'ci', '--scopes', 'read', '--expires', '1h'])) as {
      id: string;
      token: string;
    };
    const environment = { TIDEGATE_HUB: running.url, TIDEGATE_TOKEN: created.token };
    expect((await run(['model', 'list'], environment)).code).toBe(0);
    const forbidden = await run(['model', 'publish', PACKAGE], environment);
    expect(forbidden).toMatchObject({ code: 1, err: expect.stringContaining('lacks the scope publish') });
    expect((await run(['token', 'list'])).out).toMatch(new RegExp(`${created.id} +ci +read`));
    expect((await run(['token', 'revoke', created.id])).code).toBe(0);
    expect((await run(['model', 'list'], environment)).code).toBe(1);
    expect(await run(['token', 'create', 'x', '--scopes', 'everything'])).toMatchObject({ code: 2 });
  });

  test('an enrolment token is one line on stdout', async () => {
    const ran = await run(['group', 'token', 'create', '--group', 'shelf', '--uses', '3', '--expires', '1d']);
    expect(ran).toMatchObject({ code: 0, out: expect.stringMatching(/^tg1\.[A-Za-z0-9_-]+\n$/) });
    expect(await run(['group', 'token', 'create', '--group', 'Not A Group'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('group'),
    });
    expect((await run(['group', 'config', 'shelf', '--telemetry-interval', '30s'])).code).toBe(0);
  });

  test('devices and rollouts that aren’t there', async () => {
    expect((await run(['device', 'list'])).out).toMatch(/^DEVICE/);
    expect(await json(['device', 'list'])).toEqual([]);
    expect(await run(['device', 'show', 'nobody'])).toMatchObject({ code: 1, err: expect.stringContaining('nobody') });
    expect(await json(['rollout', 'list'])).toEqual([]);
    const none = await run(['rollout', 'start', 'bare@1', '--group', 'nowhere']);
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining('group') });
    for (const verb of ['status', 'pause', 'resume', 'abort']) {
      expect((await run(['rollout', verb, 'r0'])).code).toBe(1);
    }
  });

  test('the audit log has what was done above', async () => {
    const rows = (await json(['audit', 'list', '--limit', '500'])) as { action: string }[];
    const actions = new Set(rows.map((row) => row.action));
    for (const action of [
      'model.publish',
      'model.ready',
      'model.refused',
      'token.create',
      'token.revoke',
      'enrolment-token.create',
    ]) {
      expect(actions).toContain(action);
    }
    expect((await run(['audit', 'list', '--subject', 'bare@1'])).out).toMatch(/token:admin +model\.publish +bare@1/);
  });
});

describe('usage', () => {
  test.each([
    [['model', 'publish']],
    [['nonsense']],
    [['model', 'list', '--nonsense']],
    [['rollout', 'start', 'bare@1']],
  ])('%j is exit code 2', async (args) => expect((await run(args)).code).toBe(2));

  test('a hub that can’t be reached is exit code 1 with its address', async () => {
    const ran = await run(['model', 'list'], { TIDEGATE_HUB: 'http://127.0.0.1:9', TIDEGATE_TOKEN: 'x' });
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining('http://127.0.0.1:9') });
  });

  test('every verb has help with an example', async () => {
    const verbs = [
      ['login'],
      ...['publish', 'list', 'show', 'lineage', 'init'].map((verb) => ['model', verb]),
      ['train'],
      ...['list', 'show', 'follow', 'cancel'].map((verb) => ['job', verb]),
      ...['start', 'list', 'status', 'pause', 'resume', 'abort'].map((verb) => ['rollout', verb]),
      ...['list', 'show'].map((verb) => ['device', verb]),
      ['group', 'token', 'create'],
      ['group', 'config'],
      ['infer'],
      ...['create', 'list', 'revoke'].map((verb) => ['token', verb]),
      ['audit', 'list'],
    ];
    for (const verb of verbs) {
      const ran = await run([...verb, '--help']);
      expect(ran.code).toBe(0);
      expect(ran.out).toMatch(/Example:\n {2}tidegate /);
    }
  });
});
