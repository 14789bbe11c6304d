// Full disks for real: the data folders of a real hub and of a real agent lie on small tmpfs mounts that a ballast file fills. Nothing is
// lost, the reason is said with need and have, what worked goes on, and all of it recovers by itself once there is space (B5).
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceSchema, type Device } from '@tidegate/shared/wire/admin-api.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AgentProcess, examplesFolder, runAgent, startAgent } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';

const MIB = 2 ** 20;
const VOLUME_MIB = 64;
/** What agent and hub leave free for their own state (16 MiB), and a page: a package of any size does not fit beside it. */
const RESERVE_BYTES = 16 * MIB + 4096;
const RECOVERS_WITHIN_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'tidegate-full-disk-'));
const mounted: string[] = [];

/** A volume of its own, or undefined where mounting isn't allowed. */
function mountVolume(name: string): string | undefined {
  const path = mkdtempSync(join(folder, `${name}-`));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${VOLUME_MIB}m`, 'tmpfs', path], { stdio: 'pipe' });
  } catch {
    return undefined; // no root, or no right to mount
  }
  mounted.push(path);
  return path;
}

const hubVolume = mountVolume('hub');
const deviceVolume = mountVolume('device');
const canMount = hubVolume !== undefined && deviceVolume !== undefined;
if (!canMount) console.warn('SKIPPED: full disks, mounting a tmpfs is not allowed here (needs root)');

function freeBytes(volume: string): number {
  const { bavail, bsize } = statfsSync(volume);
  return bavail * bsize;
}

/** Fills the volume until only `leaveBytes` are free. */
function fill(volume: string, leaveBytes: number): void {
  const chunk = Buffer.alloc(64 * 1024, 1);
  const ballast = join(volume, 'ballast');
  writeFileSync(ballast, '');
  while (freeBytes(volume) > leaveBytes) {
    const part = Math.min(chunk.byteLength, freeBytes(volume) - leaveBytes);
    writeFileSync(ballast, chunk.subarray(0, part), { flag: 'a' });
  }
}

const empty = (volume: string): void => truncateSync(join(volume, 'ballast'), 0);

/** The digits package under another label, so that it is a new version. */
function digitsLabelled(label: string): string {
  const target = join(folder, `digits-${label}`);
  cpSync(join(examplesFolder, 'digits'), target, { recursive: true });
  const path = join(target, 'model.yaml');
  writeFileSync(path, readFileSync(path, 'utf8').replace("version: '1.0'", `version: '${label}'`));
  return target;
}

describe.skipIf(!canMount)('a full disk', () => {
  const [hubDisk, deviceDisk] = [hubVolume ?? '', deviceVolume ?? ''];
  let hub: HubProcess;
  let agent: AgentProcess | undefined;

  beforeAll(async () => {
    hub = await startHubProcess(join(hubDisk, 'data'));
    await runTidegate(hub, ['model', 'publish', join(examplesFolder, 'digits')]);
  });
  afterAll(async () => {
    await agent?.stop();
    await hub?.stop();
    for (const path of mounted) execFileSync('umount', [path]);
    rmSync(folder, { recursive: true, force: true });
  });

  const tidegate = (...args: string[]): Promise<string> => runTidegate(hub, args);
  const versions = async (): Promise<number> =>
    (JSON.parse(await tidegate('model', 'show', 'digits', '--json')) as unknown[]).length;
  const hubAnswers = (): Promise<string> => tidegate('infer', 'digits', join(folder, 'request.json'));

  test('the hub refuses a package before its first byte with need and have, and takes it once there is space (B5)', async () => {
    const values = Array.from({ length: 784 }, () => 0);
    const request = { inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data: values }] };
    writeFileSync(join(folder, 'request.json'), JSON.stringify(request));
    const before = await hubAnswers();
    const second = digitsLabelled('2.0');
    fill(hubDisk, RESERVE_BYTES);
    await expect(tidegate('model', 'publish', second)).rejects.toThrow(/not enough space: \d+ bytes needed, \d+ free/);
    expect(await versions()).toBe(1);
    expect((await hubAnswers()).split('\n')[0]).toBe(before.split('\n')[0]);
    empty(hubDisk);
    expect(await tidegate('model', 'publish', second)).toMatch(/^digits@2 .*ready/);
  });

  test('with not a byte left the hub answers, says that the disk is full, and starts again after kill -9', async () => {
    const third = digitsLabelled('3.0');
    fill(hubDisk, 0);
    await expect(tidegate('model', 'publish', third)).rejects.toThrow(/disk is full|not enough space/);
    expect(await hubAnswers()).toContain('label');
    expect((await fetch(`${hub.url}/api/v1/health`)).status).toBe(200);
    expect(await versions()).toBe(2);
    await hub.kill();
    empty(hubDisk);
    hub = await hub.again();
    expect(await tidegate('model', 'publish', third)).toMatch(/^digits@3 .*ready/);
  });

  test('a device keeps answering and says why it can not take the new version, then takes it by itself (B5)', async () => {
    const token = /\S{20,}/.exec(await tidegate('group', 'token', 'create', '--group', 'shop'))?.[0] ?? '';
    const dataDir = join(deviceDisk, 'data');
    const device = `https://127.0.0.1:${hub.ports['device']}`;
    const enrolled = await runAgent(['enroll', '--hub', device, '--token', token, '--data-dir', dataDir]);
    expect(enrolled).toMatchObject({ code: 0 });
    const quick = ['--waves', '100%', '--soak', '1s', '--probation', '1s', '--min-requests', '0'];
    const rollOut = (version: string, ...more: string[]): Promise<string> =>
      tidegate('rollout', 'start', `digits@${version}`, '--group', 'shop', ...quick, ...more);
    agent = await startAgent(['run', '--data-dir', dataDir]);
    await rollOut('2', '--wait');
    const running = async (): Promise<Device['models'][number] | undefined> => {
      const [found] = JSON.parse(await tidegate('device', 'list', '--json')) as unknown[];
      return deviceSchema.parse(found).models.find(({ name }) => name === 'digits');
    };
    const runs = async (): Promise<number | undefined> => (await running())?.running?.version;
    const answers = async (seed: number): Promise<string> =>
      (await agent?.infer('digits', digitInput(seed), { placement: 'local', cache: 'bypass' }))?.version ?? '';
    expect(await runs()).toBe(2);
    const old = await answers(1);

    fill(deviceDisk, RESERVE_BYTES);
    await rollOut('3');
    await expect
      .poll(async () => (await running())?.activation?.error, { timeout: RECOVERS_WITHIN_MS, interval: 200 })
      .toMatch(/not enough space: need \d+ bytes, have \d+/);
    fill(deviceDisk, 0); // and worse: nothing is left for its own state either
    for (let seed = 2; seed < 50; seed += 1) expect(await answers(seed)).toBe(old);
    expect(agent.child.exitCode).toBeNull();

    empty(deviceDisk);
    await expect.poll(runs, { timeout: RECOVERS_WITHIN_MS, interval: 200 }).toBe(3);
    const newest = await answers(50);
    expect(newest).not.toBe(old);

    // A card that is worn out: the kernel has turned the volume read-only when the device starts (B24).
    await agent.stop();
    execFileSync('mount', ['-o', 'remount,ro', deviceDisk]);
    try {
      agent = await startAgent(['run', '--data-dir', dataDir]);
      expect(await answers(51)).toBe(newest);
    } finally {
      await agent.stop();
      execFileSync('mount', ['-o', 'remount,rw', deviceDisk]);
    }
  });
});
