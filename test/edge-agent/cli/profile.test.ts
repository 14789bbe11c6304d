// The verb on real models in real executors: it needs no agent, ends by itself, and shows what it measured.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { profileVerb } from '@tidegate/edge-agent/cli/profile.js';
import { runProgram } from '@tidegate/edge-agent/cli/program.js';
import { ModelStore } from '@tidegate/edge-agent/model-store/model-store.js';
import type { ProfileReport } from '@tidegate/edge-agent/profile/profile-report.js';
import { ActiveMirror } from '@tidegate/edge-agent/state/active-mirror.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import {
  canonicalManifest,
  manifestDigest,
  type FileEntry,
  type VariantManifest,
} from '@tidegate/shared/wire/manifest.js';
import { examplesFolder } from '../../support/agent-process.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('profile');

async function profile(...args: string[]) {
  let [out, err] = ['', ''];
  const collect = (add: (text: string) => void): NodeJS.WriteStream =>
    ({ write: (text: string) => (add(text), true) }) as unknown as NodeJS.WriteStream;
  const code = await runProgram(['profile', '--data-dir', folder(), ...args], [profileVerb], {
    stdout: collect((text) => (out += text)),
    stderr: collect((text) => (err += text)),
    environment: {},
    version: '1',
  });
  return { code, out, err };
}

/** As an activation leaves it on the disk. */
async function installDigits(dataDir: string): Promise<void> {
  const store = await ModelStore.open({ dataDir }, systemFiles);
  const entries: FileEntry[] = [];
  for (const path of ['model.yaml', 'digits.onnx', 'goldens.json']) {
    const content = readFileSync(join(examplesFolder, 'digits', path));
    entries.push({ path, sizeBytes: content.byteLength, digest: await store.content.putBytes(content) });
  }
  const versionDigest = sha256('version');
  const files = entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const manifest: VariantManifest = { kind: 'variant', model: 'digits', parent: versionDigest, variant: 'int8', files };
  const variantDigest = manifestDigest(manifest);
  await store.saveManifest(variantDigest, Buffer.from(canonicalManifest(manifest)));
  await store.verifyPackage(variantDigest, new AbortController().signal);
  const running = {
    name: 'digits',
    version: 3,
    versionDigest,
    variant: 'int8',
    variantDigest,
    sizeBytes: 1,
    probationMs: 0,
  };
  const active = new Map([['digits', { running, sinceMs: 0, committed: true }]]);
  await new ActiveMirror(dataDir, systemFiles).write(active);
}

describe('profile', () => {
  it('measures each batch and thread count within its time, and draws it', async () => {
    const svg = join(folder(), 'digits.svg');
    const args = [
      '--seconds',
      '4',
      '--batches',
      '1,4',
      '--threads',
      '1,2',
      '--deadlines',
      '500',
      '--json',
      '--svg',
      svg,
    ];
    const startMs = performance.now();
    const { code, out, err } = await profile(join(examplesFolder, 'digits'), ...args);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(15_000);
    const report = JSON.parse(out) as ProfileReport;
    const [graph] = report.graphs;
    expect(graph).toMatchObject({ label: 'digits', graph: 'digits.onnx', rows: 'golden', skipped: [] });
    expect(graph?.configurations.map(({ threads }) => threads)).toEqual([1, 2]);
    for (const { cells, residentBytes, loadAgainMs } of graph?.configurations ?? []) {
      expect([...new Set(cells.map(({ batch }) => batch))]).toEqual([1, 4]);
      for (const { runs, p50Ms, p99Ms, rowsPerSecond } of cells) {
        expect(runs).toBeGreaterThan(0);
        expect(p99Ms).toBeGreaterThanOrEqual(p50Ms);
        expect(rowsPerSecond).toBeGreaterThan(0);
      }
      expect(loadAgainMs).toBeGreaterThan(0);
      if (process.platform === 'linux') expect(residentBytes).toBeGreaterThan(2 ** 20);
    }
    expect(report.advice.join()).toContain('within 500 ms: about');
    expect(readFileSync(svg, 'utf8')).toContain('digits digits.onnx, cpu, 2 threads');
  });

  it('measures a bare file, and says which provider could not run', async () => {
    const bare = join(examplesFolder, 'bare', 'scale-and-add.onnx');
    const args = ['--seconds', '2', '--threads', '1', '--providers', 'cuda,cpu'];
    const { code, out } = await profile(bare, ...args);
    expect(code).toBe(0);
    expect(out).toContain('a row made up from the signature');
    expect(out).toMatch(/not measured: cuda with 1 threads/);
    expect(out).toMatch(/on cpu, ort-/);
  });

  it('measures a model that the hub put on this device', async () => {
    const dataDir = folder();
    await installDigits(dataDir);
    const args = ['--seconds', '2', '--threads', '1', '--batches', '1', '--json', '--data-dir', dataDir];
    const { code, out } = await profile('digits', ...args);
    expect(code).toBe(0);
    expect((JSON.parse(out) as ProfileReport).graphs).toMatchObject([{ label: 'digits@3 int8', rows: 'golden' }]);
  });

  it('refuses what is neither a path nor a model, and wrong lists', async () => {
    expect(await profile('no-such-model')).toMatchObject({
      code: 2,
      err: expect.stringContaining('no-such-model') as string,
    });
    expect(await profile('examples', '--batches', '1,x')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--batches 1,x') as string,
    });
  });
});
