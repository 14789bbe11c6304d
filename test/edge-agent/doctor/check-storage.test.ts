// A device that has a real model, identity and database on its disk, and what is broken of them.
import { chmodSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  checkDataFolder,
  checkIdentity,
  checkModels,
  checkStateDatabase,
} from '@tidegate/edge-agent/doctor/check-storage.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { identityPaths } from '@tidegate/edge-agent/identity/identity.js';
import { ModelStore } from '@tidegate/edge-agent/model-store/model-store.js';
import { ActiveMirror } from '@tidegate/edge-agent/state/active-mirror.js';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles as files } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { canonicalManifest, manifestDigest, type VariantManifest } from '@tidegate/shared/wire/manifest.js';
import { startDeviceHub } from '../../support/device-hub.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('check-storage');
const DAY_MS = 86_400_000;

/** Puts a model of one file on the device, as an activation would. */
async function install(dataDir: string): Promise<string> {
  const store = await ModelStore.open({ dataDir }, files);
  const content = Buffer.from('the weights');
  const digest = await store.content.putBytes(content);
  const file = { path: 'm.onnx', sizeBytes: content.byteLength, digest };
  const manifest: VariantManifest = {
    kind: 'variant',
    model: 'm',
    parent: sha256('v'),
    variant: 'fp32',
    files: [file],
  };
  const variantDigest = manifestDigest(manifest);
  await store.saveManifest(variantDigest, Buffer.from(canonicalManifest(manifest)));
  const folder = await store.verifyPackage(variantDigest, new AbortController().signal);
  const version = { name: 'm', version: 1, versionDigest: sha256('v'), variant: 'fp32', variantDigest };
  const running = { ...version, sizeBytes: content.byteLength, probationMs: 0 };
  await new ActiveMirror(dataDir, files).write(new Map([['m', { running, sinceMs: 0, committed: true }]]));
  return join(folder, 'm.onnx');
}

describe('models', () => {
  it('are read whole against their manifests, and nothing is repaired', async () => {
    const dataDir = newFolder();
    expect(await checkModels(dataDir, files)).toMatchObject({ level: 'ok', found: 'none installed' });
    const path = await install(dataDir);
    expect(await checkModels(dataDir, files)).toMatchObject({
      level: 'ok',
      found: '1 active, 1 files as their manifests say',
    });
    writeFileSync(path, 'the weightz');
    expect(await checkModels(dataDir, files)).toMatchObject({ level: 'fail', found: 'changed or missing: m: m.onnx' });
    expect(readFileSync(path, 'utf8')).toBe('the weightz');
    const [manifest = ''] = readdirSync(join(dataDir, 'models', 'manifests'));
    writeFileSync(join(dataDir, 'models', 'manifests', manifest), '{}');
    expect(await checkModels(dataDir, files)).toMatchObject({
      level: 'fail',
      found: expect.stringContaining("m: its manifest is of no use: the manifest's bytes are not sha256:") as string,
    });
    expect(readdirSync(join(dataDir, 'models', 'manifests'))).toEqual([manifest]);
  });
});

describe('the state database', () => {
  it('is none, in use, sound or broken', async () => {
    const dataDir = newFolder();
    expect(checkStateDatabase(dataDir).found).toContain('none yet');
    const state = await AgentState.open(dataDir, { files, log: silentLog, clock: systemClock });
    expect(checkStateDatabase(dataDir).found).toContain('in use');
    state.close();
    expect(checkStateDatabase(dataDir)).toEqual({ level: 'ok', found: 'sound' });
    truncateSync(join(dataDir, 'state.db'), 5000);
    expect(checkStateDatabase(dataDir)).toMatchObject({
      level: 'fail',
      mend: expect.stringContaining('rebuilds') as string,
    });
  });
});

describe('the identity', () => {
  it('is judged by its key, the mode of its file and its validity', async () => {
    const hub = await startDeviceHub(newFolder());
    const dataDir = newFolder();
    const modules = { files, clock: systemClock };
    expect(await checkIdentity(dataDir, files, Date.now())).toMatchObject({ level: 'ok' });
    await enrol({ dataDir, token: await hub.newToken() }, modules, new AbortController().signal);
    await hub.close();
    expect((await checkIdentity(dataDir, files, Date.now())).level).toBe('ok');
    const { key } = identityPaths(dataDir);
    chmodSync(key, 0o640);
    expect(await checkIdentity(dataDir, files, Date.now())).toMatchObject({ level: 'warn', mend: `chmod 600 ${key}` });
    chmodSync(key, 0o644);
    expect((await checkIdentity(dataDir, files, Date.now())).level).toBe('fail');
    chmodSync(key, 0o600);
    const late = await checkIdentity(dataDir, files, Date.now() + 40 * 365 * DAY_MS);
    expect(late).toMatchObject({ level: 'warn', found: expect.stringContaining('has expired') as string });
    writeFileSync(key, 'no key');
    await expect(checkIdentity(dataDir, files, Date.now())).rejects.toThrow('enrol again');
  });
});

describe('the data folder', () => {
  it('fails without room, and leaves nothing behind', async () => {
    const dataDir = newFolder();
    const with_ = (freeBytes: number) => ({ ...files, freeBytes: () => Promise.resolve(freeBytes) });
    expect((await checkDataFolder(dataDir, with_(2 ** 30))).level).toBe('ok');
    expect((await checkDataFolder(dataDir, with_(2 ** 28))).level).toBe('warn');
    expect((await checkDataFolder(dataDir, with_(2 ** 20))).level).toBe('fail');
    expect(await files.list('test', dataDir)).toEqual([]);
  });

  it('is not made where it is missing', async () => {
    const parent = newFolder();
    const verdict = await checkDataFolder(join(parent, 'agent', 'data'), files);
    expect(verdict.level).not.toBe('fail');
    expect(verdict.found).toMatch(`free in ${parent}, writable; ${join(parent, 'agent', 'data')} is not there yet`);
    expect(await files.list('test', parent)).toEqual([]);
  });
});
