// The cache of compiled graphs over both engines: equal answers, and the plain graph whatever happens to what is kept (B19).
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '@tidegate/shared/runtime/engine.js';
import type { CompiledCache, CompiledReport } from '@tidegate/shared/runtime/graph-runner.js';
import { createBindingEngine } from '@tidegate/shared/runtime/executor/binding/engine.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { loadThroughCache } from '@tidegate/shared/runtime/executor/compiled-cache.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { weightyFeeds, writeWeightyModel } from '../../../support/weighty-model.js';

const never = new AbortController().signal;
const newFolder = temporaryFolders('compiled-cache');
const MIB = 1 << 20;
const mounted: string[] = [];
afterAll(() => mounted.forEach((path) => execFileSync('umount', [path])));

/** Undefined where mounting isn't allowed. */
function mountVolume(): string | undefined {
  const path = mkdtempSync(join(tmpdir(), 'tidegate-compiled-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=320m', 'tmpfs', path], { stdio: 'pipe' });
  } catch {
    return undefined; // no root, or no right to mount
  }
  mounted.push(path);
  return path;
}

async function fillUp(volume: string): Promise<void> {
  const ballast = await fs.open(join(volume, 'ballast'), 'w');
  const chunk = Buffer.alloc(4 * MIB, 1);
  const full = async (): Promise<never> => {
    for (;;) await ballast.writeFile(chunk);
  };
  await full().catch(() => undefined);
  await ballast.close();
}

describe.each([
  ['capi', createCapiEngine],
  ['binding', createBindingEngine],
])('the cache of compiled graphs over "%s"', (name, create) => {
  const policy = it.runIf(name === 'capi'); // the same whatever engine

  let engine: Engine;
  let path: string;
  let expected: readonly NamedTensor[];
  const options = () => ({ path, providers: ['cpu'], intraOpThreads: 1 }) as const;

  beforeAll(async () => {
    engine = create();
    path = join(newFolder(), 'model.onnx');
    await writeWeightyModel(path);
    const session = await engine.load(options(), never);
    expected = await session.run(weightyFeeds(3), [], never);
    await session.close();
  });

  const newCache = (limitBytes = 256 * MIB): CompiledCache => ({
    folder: join(newFolder(), 'engine-cache'),
    limitBytes,
    content: 'sha256:1 model.onnx',
  });
  /** Loads, holds the answers to be the plain graph's bit for bit, and says how it was loaded. */
  const load = async (cache: CompiledCache, more: object = {}): Promise<CompiledReport> => {
    const { session, compiled } = await loadThroughCache(engine, { ...options(), ...more }, cache, never);
    const outputs = await session.run(weightyFeeds(3), [], never);
    expect(outputs.map(({ name }) => name)).toEqual(expected.map(({ name }) => name));
    outputs.forEach(({ name, data }, i) => expect([name, Buffer.compare(data, expected[i]!.data)]).toEqual([name, 0]));
    await session.close();
    return compiled;
  };
  const entriesOf = (cache: CompiledCache): Promise<string[]> => fs.readdir(cache.folder);
  const entryOf = async (cache: CompiledCache): Promise<string> => join(cache.folder, (await entriesOf(cache))[0]!);

  it('makes an entry at the first load and uses it from then on, with the same answers bit for bit (B19)', async () => {
    const cache = newCache();
    expect(await load(cache)).toEqual({ kind: 'built' });
    expect((await fs.readdir(await entryOf(cache))).sort()).toEqual([
      'manifest.json',
      'model.onnx',
      'verified',
      'weights.bin',
    ]);
    const manifest: unknown = JSON.parse(await fs.readFile(join(await entryOf(cache), 'manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({ content: cache.content }); // whoever collects them knows what it was made from
    expect(await load(cache)).toEqual({ kind: 'used' });
    expect(await entriesOf(cache)).toHaveLength(1);
  });

  policy.each([
    ['a shorter file, as a power cut leaves it', (entry: string) => fs.truncate(join(entry, 'weights.bin'), 1000)],
    ['a manifest without content', (entry: string) => fs.truncate(join(entry, 'manifest.json'), 0)],
    ['a file that is gone', (entry: string) => fs.rm(join(entry, 'weights.bin'))],
    ['another graph of the same size', (entry: string) => damage(entry, 'model.onnx', false)],
    ['a bit that tipped while the device was off', (entry: string) => damage(entry, 'weights.bin', true)],
  ])('does not trust %s: it is made again', async (_name, harm) => {
    const cache = newCache();
    await load(cache);
    await harm(await entryOf(cache));
    expect(await load(cache)).toEqual({ kind: 'built' });
    expect(await load(cache)).toEqual({ kind: 'used' });
  });

  policy('is used where nothing can be written down about it: a full or read-only volume', async () => {
    const cache = newCache();
    await load(cache);
    const verified = join(await entryOf(cache), 'verified');
    await fs.rm(verified);
    await fs.mkdir(verified); // as after a restart of the device, and not to be written
    expect(await load(cache)).toEqual({ kind: 'used' });
  });

  const volume = name === 'capi' ? mountVolume() : undefined;
  it.runIf(volume !== undefined)(
    'loads the plain graph where the volume becomes full meanwhile, and leaves nothing there',
    async () => {
      const cache = { ...newCache(), folder: join(volume!, 'engine-cache') };
      const filling: Engine = Object.assign(Object.create(engine) as Engine, {
        load: async (...[asked, signal]: Parameters<Engine['load']>) => {
          if (asked.saveTo !== undefined) await fillUp(volume!);
          return engine.load(asked, signal);
        },
      });
      const { session, compiled } = await loadThroughCache(filling, options(), cache, never);
      expect(compiled).toEqual({ kind: 'none', reason: 'the volume became full while it was compiled' });
      expect(await session.run(weightyFeeds(3), [], never)).toHaveLength(expected.length);
      await session.close();
      expect(await entriesOf(cache)).toEqual([]);
      await fs.rm(join(volume!, 'ballast'));
      expect(await load(cache)).toEqual({ kind: 'built' });
    },
  );

  policy('keeps entries apart by content, and removes what was not used for longest', async () => {
    const first = newCache();
    await load(first);
    const sizeBytes = await sizeOf(await entryOf(first));
    const limitBytes = Math.round(2.5 * sizeBytes);
    const [a, b, c] = ['a', 'b', 'c'].map((content) => ({ ...first, content, limitBytes })) as [
      CompiledCache,
      CompiledCache,
      CompiledCache,
    ];
    await fs.rm(first.folder, { recursive: true });
    for (const cache of [a, b]) expect(await load(cache)).toEqual({ kind: 'built' });
    for (const name of await entriesOf(a)) await fs.utimes(join(a.folder, name, 'manifest.json'), 1, 1);
    expect(await load(a)).toEqual({ kind: 'used' });
    expect(await load(c)).toEqual({ kind: 'built' });
    expect(await load(a)).toEqual({ kind: 'used' });
    expect(await load(b)).toEqual({ kind: 'built' });
    expect(await entriesOf(a)).toHaveLength(2);
  });

  policy.each<[string, object, object, RegExp]>([
    ['a provider other than the cpu', { providers: ['webgpu'] }, {}, /only graphs for the cpu/],
    ['a limit below the graph', {}, { limitBytes: MIB }, /larger than the cache may be \(1048576 bytes\)/],
    ['an entry larger than the limit', {}, { limitBytes: 5.5 * MIB }, /more than the cache may be/],
    ['a folder that is none', {}, { folder: '/proc/version' }, /EEXIST|ENOTDIR/],
    ['an entry that an executor died over', {}, { discard: true }, /died over/],
    ['a replacement that finds no entry', {}, { useOnly: true }, /not kept/],
  ])('loads the plain graph for %s', async (_name, more, other, reason) => {
    const cache = { ...newCache(), ...other };
    expect(await load(cache, more)).toEqual({ kind: 'none', reason: expect.stringMatching(reason) });
    expect(await entriesOf(cache).catch(() => [])).toEqual([]);
  });

  policy('removes the entry that an executor died over', async () => {
    const cache = newCache();
    await load(cache);
    expect(await load({ ...cache, discard: true })).toMatchObject({ kind: 'none' });
    expect(await entriesOf(cache)).toEqual([]);
  });

  policy('keeps no graph that is small', async () => {
    const cache = newCache();
    const small = new URL('../../../fixtures/onnx/matmul.onnx', import.meta.url).pathname;
    const { session, compiled } = await loadThroughCache(engine, { ...options(), path: small }, cache, never);
    await session.close();
    expect(compiled).toMatchObject({ kind: 'none', reason: expect.stringMatching(/too small/) });
  });

  it("says the graph's own error where that can't be loaded", async () => {
    const broken = join(newFolder(), 'broken.onnx');
    await fs.writeFile(broken, Buffer.alloc(5 * MIB, 0xff));
    const cache = newCache();
    await expect(loadThroughCache(engine, { ...options(), path: broken }, cache, never)).rejects.toMatchObject({
      code: 'load-failed',
      message: expect.stringMatching(/protobuf/i),
    });
    expect(await entriesOf(cache)).toEqual([]);
  });

  policy('clears away what an executor left that died while it built, once that is old', async () => {
    const cache = newCache();
    const [old, fresh] = ['.building-old', '.building-fresh'].map((name) => join(cache.folder, name)) as [
      string,
      string,
    ];
    for (const path of [old, fresh]) await fs.mkdir(path, { recursive: true });
    await fs.utimes(old, 1, 1);
    expect(await load(cache)).toEqual({ kind: 'built' });
    expect((await entriesOf(cache)).filter((name) => name.startsWith('.'))).toEqual(['.building-fresh']);
  });
});

/** Changes one byte in the middle; `rebooted`: the hashes were seen to hold in another boot only. */
async function damage(entry: string, name: string, rebooted: boolean): Promise<void> {
  const bytes = await fs.readFile(join(entry, name));
  const at = bytes.byteLength >> 1;
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  await fs.writeFile(join(entry, name), bytes);
  if (rebooted) await fs.writeFile(join(entry, 'verified'), 'another boot');
  else await fs.writeFile(join(entry, name), Buffer.alloc(bytes.byteLength, 0xff));
}

async function sizeOf(folder: string): Promise<number> {
  const sizes = await Promise.all(
    (await fs.readdir(folder)).map(async (name) => (await fs.stat(join(folder, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
