// Real files in a folder that stands for /dev/shm.
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SharedMemoryRegions } from '@tidegate/shared/serving/shared-memory.js';

let folder: string;
let regions: SharedMemoryRegions;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-shm-'));
  await writeFile(join(folder, 'one'), Buffer.from([0, 1, 2, 3, 4, 5, 6, 7]));
  regions = new SharedMemoryRegions(folder);
});
afterEach(async () => {
  await regions.unregister();
  await rm(folder, { recursive: true });
});

const register = (part: object = {}): void =>
  regions.register({ name: 'r', key: '/one', offset: 2, byteSize: 6, ...part });
const part = (offset: number, byteSize: number, region = 'r') => ({ region, offset, byteSize });
const wrong = (field: string): unknown => expect.objectContaining({ code: 'invalid-argument', field });

describe('a shared memory region', () => {
  test('is read and written within its bounds, from its own beginning', async () => {
    register();
    const use = regions.use();
    expect([...use.read(part(1, 3), 'inputs[0]')]).toEqual([3, 4, 5]);
    expect([...use.read(part(6, 0), 'inputs[0]')]).toEqual([]);
    use.place(part(4, 2), 'outputs[0]').write(new Uint8Array([8]));
    expect([...(await readFile(join(folder, 'one')))]).toEqual([0, 1, 2, 3, 4, 5, 8, 7]);
    const field = 'inputs[0].parameters.shared_memory_byte_size';
    expect(() => use.read(part(4, 3), 'inputs[0]')).toThrow(wrong(field));
    expect(() => use.place(part(0, 1), 'inputs[0]').write(new Uint8Array(2))).toThrow(wrong(field));
    use.release();
  });

  test('is listed, and by its name', () => {
    register();
    register({ name: 'whole', offset: 0, byteSize: 8 });
    expect(regions.status()).toHaveLength(2);
    expect(regions.status('r')).toEqual([{ name: 'r', key: '/one', offset: 2, byteSize: 6 }]);
    expect(() => regions.status('nosuch')).toThrow(expect.objectContaining({ code: 'not-found' }));
  });

  test('that became shorter is an error, and is not made longer again', async () => {
    register();
    await truncate(join(folder, 'one'), 4);
    const use = regions.use();
    const field = 'x.parameters.shared_memory_region';
    expect([...use.read(part(0, 2), 'x')]).toEqual([2, 3]);
    expect(() => use.read(part(0, 3), 'x')).toThrow(wrong(field));
    expect(() => use.place(part(0, 3), 'x').write(new Uint8Array(3))).toThrow(wrong(field));
    expect((await readFile(join(folder, 'one'))).byteLength).toBe(4);
    use.release();
  });

  test('lives on when its name is gone from the folder', async () => {
    register();
    await rm(join(folder, 'one'));
    const use = regions.use();
    expect([...use.read(part(0, 1), 'x')]).toEqual([2]);
    use.release();
  });

  test('is unregistered once no request uses it; new ones no longer find it', async () => {
    register();
    const use = regions.use();
    const place = use.place(part(0, 1), 'x');
    let gone = false;
    const leaving = regions.unregister('r').then(() => (gone = true));
    expect(() => regions.use().read(part(0, 1), 'x')).toThrow(wrong('x.parameters.shared_memory_region'));
    await new Promise(setImmediate);
    expect(gone).toBe(false);
    place.write(new Uint8Array([9])); // its answer still has where to go
    use.release();
    await leaving;
    expect((await readFile(join(folder, 'one')))[2]).toBe(9);
    await regions.unregister('r'); // not there: nothing to do
    register();
  });
});

describe('what can not be registered', () => {
  test.each(['', '/', '.', '..', '/..', '../one', 'a/b', '/dev/shm/one', 'sem.one', 'one\0', `${'x'.repeat(251)}`])(
    'the key %j',
    (key) => {
      expect(() => register({ key })).toThrow(wrong('key'));
    },
  );

  test('what is no file of its own: a link, a folder, a pipe, nothing', async () => {
    await symlink(join(folder, 'one'), join(folder, 'link'));
    await mkdir(join(folder, 'folder'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    for (const key of ['link', 'folder', 'pipe', 'nosuch']) expect(() => register({ key })).toThrow(wrong('key'));
  });

  test('more bytes than there are, a name that is taken or none, too many', () => {
    expect(() => register({ byteSize: 7 })).toThrow(wrong('byte_size'));
    register();
    expect(() => register()).toThrow(wrong('region'));
    expect(() => register({ name: '' })).toThrow(wrong('region'));
    for (let n = 1; n < 256; n++) register({ name: `r${n}` });
    expect(() => register({ name: 'more' })).toThrow(expect.objectContaining({ code: 'queue-full' }));
  });

  const isRoot = process.geteuid?.() === 0;
  if (!isRoot) console.warn("SKIPPED: another user's shared memory: only root can give a file to somebody else");
  test.runIf(isRoot)("another user's, unless it is open to all", async () => {
    execFileSync('chown', ['12345', join(folder, 'one')]);
    expect(() => register()).toThrow(/belongs to another user/);
    await chmod(join(folder, 'one'), 0o666);
    register();
  });
});
