// The way of a version after it was published: checked, optimised, signed, ready; refused with the reason; taken up after a restart.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { PackageRefused } from '@tidegate/cloud-hub/registry/package-ports.js';
import { listAudit } from '@tidegate/cloud-hub/security/audit.js';
import { canonicalManifest, variantTargetPath } from '@tidegate/shared/wire/manifest.js';
import { deviceClassName } from '@tidegate/shared/wire/device-class-name.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import { afterEach, expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';
import { openPublishing, yamlText, type Publishing } from '../../support/publishing.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('pipeline');
const FILES = { 'model.yaml': yamlText(), 'm.onnx': 'graph' };
const here: DeviceClass = { architecture: 'x64', instructions: [], provider: 'cpu', cores: 2, memoryTierGiB: 4 };
const deviceClass = deviceClassName(here);
const open: Publishing[] = [];

async function desk(path = folder(), database?: string, clock?: ManualClock): Promise<Publishing> {
  const made = await openPublishing(path, database, clock);
  open.push(made);
  return made;
}
afterEach(async () => {
  for (const made of open.splice(0)) {
    await made.pipeline.close();
    await made.db.destroy();
  }
});

test('variants are measured, stored, signed, and only then is the version ready', async () => {
  const made = await desk();
  made.doing.optimize = async (path, work) => {
    await fs.mkdir(join(work, 'int8'));
    await fs.copyFile(join(path, 'model.yaml'), join(work, 'int8/model.yaml'));
    await fs.writeFile(join(work, 'int8/m.onnx'), 'smaller');
    return [
      {
        report: { variant: 'fp32', deviceClass, outcome: 'kept', reason: 'the original', latencyP50Ms: 2 },
        folder: path,
      },
      { report: { variant: 'int8', deviceClass, outcome: 'chosen', reason: 'fastest' }, folder: join(work, 'int8') },
      { report: { variant: 'int4', deviceClass, outcome: 'refused', reason: 'accuracy' }, folder: join(work, 'int8') },
      { report: { variant: 'fp16', deviceClass, outcome: 'not-applicable', reason: 'no weights' } },
    ];
  };
  await made.publish('tiny', FILES);
  const version = await made.settled('tiny', 1);
  expect(version.state).toBe('ready');
  expect(version.variants.map((v) => [v.variant, v.outcome])).toEqual([
    ['fp32', 'kept'],
    ['int8', 'chosen'],
    ['int4', 'refused'],
    ['fp16', 'not-applicable'],
  ]);
  const held = await made.registry.variants('tiny', 1);
  expect(held.map((v) => v.variant)).toEqual(['fp32', 'int8']);
  expect(made.targets.map((target) => target.path).sort()).toEqual(
    held.map((v) => variantTargetPath(v.variantDigest)).sort(),
  );
  const int8 = await made.registry.variantFor('tiny', 1, here);
  expect(int8).toMatchObject({ variant: 'int8', versionDigest: version.digest, sizeBytes: yamlText().length + 7 });
  expect(Buffer.from(made.targets.find((t) => t.custom['variant'] === 'int8')!.bytes).toString()).toBe(
    canonicalManifest(int8.manifest),
  );
  expect((await made.registry.variantFor('tiny', 1, undefined)).variant).toBe('fp32');
  expect(await fs.readFile(join(await made.registry.materialise(int8), 'm.onnx'), 'utf8')).toBe('smaller');
  expect(
    await fs.readFile(
      made.registry.blobPath(int8.manifest.files.find((f) => f.path === 'm.onnx')!.digest.slice(7)),
      'utf8',
    ),
  ).toBe('smaller');
});

test('each state is announced and audited', async () => {
  const made = await desk();
  await made.publish('tiny', FILES);
  await made.settled('tiny', 1);
  const states = made.events.flatMap((event) => (event.kind === 'version' ? [event.version.state] : []));
  expect([...new Set(states)]).toEqual(['validating', 'optimizing', 'ready']);
  const actions = (await listAudit(made.db, { limit: 50 })).map((row) => row.action).reverse();
  expect(actions).toEqual(['model.upload', 'model.publish', 'model.optimizing', 'model.ready']);
});

test('a refused package says why, has no variants, and is looked at again when published again', async () => {
  const made = await desk();
  made.doing.check = async () => Promise.reject(new PackageRefused('the goldens fail'));
  await made.publish('tiny', FILES);
  expect(await made.settled('tiny', 1)).toMatchObject({ state: 'refused', detail: 'the goldens fail' });
  expect(made.targets).toEqual([]);
  await expect(made.registry.variantFor('tiny', 1, undefined)).rejects.toMatchObject({ code: 'conflict' });
  made.doing.check = async () => undefined;
  expect(await made.publish('tiny', FILES)).toMatchObject({ version: 1, state: 'validating' });
  expect(await made.settled('tiny', 1)).toMatchObject({ state: 'ready' });
});

test('when no variant can be made, fp32 is shipped all the same, and it is said', async () => {
  const made = await desk();
  made.doing.optimize = async () => Promise.reject(new Error('out of memory'));
  await made.publish('tiny', FILES);
  expect(await made.settled('tiny', 1)).toMatchObject({
    state: 'ready',
    detail: expect.stringContaining('out of memory'),
  });
  expect((await made.registry.variants('tiny', 1)).map((v) => v.variant)).toEqual(['fp32']);
});

test('a fault of the hub’s own is tried again, and said when it lasts', async () => {
  const clock = new ManualClock();
  const made = await desk(folder(), undefined, clock);
  let failures = 2;
  made.doing.sign = async () => {
    failures -= 1;
    if (failures >= 0) throw new Error('no keys');
  };
  await made.publish('tiny', FILES);
  const turning = setInterval(() => clock.advance(10_000), 1);
  expect(await made.settled('tiny', 1)).toMatchObject({ state: 'ready' });
  failures = Infinity;
  await made.publish('tiny', { ...FILES, 'm.onnx': 'second' });
  expect(await made.settled('tiny', 2)).toMatchObject({ state: 'refused', detail: expect.stringContaining('no keys') });
  clearInterval(turning);
});

test('one version at a time, in the order of publishing', async () => {
  const made = await desk();
  const running: string[] = [];
  let most = 0;
  made.doing.check = async (path) => {
    running.push(path);
    most = Math.max(most, running.length);
    await new Promise((resolve) => setImmediate(resolve));
    running.pop();
  };
  for (const graph of ['a', 'b', 'c']) await made.publish('tiny', { ...FILES, 'm.onnx': graph });
  await made.pipeline.idle();
  expect(most).toBe(1);
  expect((await made.registry.versions({ model: 'tiny', limit: 10 })).map((v) => v.state)).toEqual([
    'ready',
    'ready',
    'ready',
  ]);
});

test.each(['validating', 'optimizing'] as const)(
  'a hub that ends while %s goes on after its restart',
  async (state) => {
    const path = folder();
    const database = join(path, 'hub.db');
    const first = await desk(path, database);
    let begun = (): void => undefined;
    const reached = new Promise<void>((resolve) => (begun = resolve));
    const hang = (signal: AbortSignal): Promise<never> => {
      begun();
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    if (state === 'validating') first.doing.check = (_folder, signal) => hang(signal);
    else first.doing.optimize = (_folder, _work, signal) => hang(signal);
    await first.publish('tiny', FILES);
    await reached;
    await first.pipeline.close();
    expect(await first.registry.version('tiny', '1')).toMatchObject({ state });
    await first.db.destroy();
    let checks = 0;
    const second = await desk(path, database);
    second.doing.check = async () => void (checks += 1);
    second.pipeline.wake();
    expect(await second.settled('tiny', 1)).toMatchObject({ state: 'ready' });
    expect(checks).toBe(state === 'validating' ? 1 : 0);
  },
);
