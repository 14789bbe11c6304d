import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ThreadsFile } from '@tidegate/shared/serving/threads-file.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('threads-file');
const choice = { threads: 2, reason: 'it pays', measured: [{ threads: 1, runMs: 40 }], measuredAtMs: 7 };
const KEY = 'sha256:1, 4 cores, 30000 ms';
const open = (path: string, part: { release?: string; processor?: string } = {}, log = silentLog): ThreadsFile =>
  new ThreadsFile({ path, release: '1.0.0', processor: 'arm64 A', ...part }, { files: systemFiles, log });

describe('the file of measured threads', () => {
  it('gives back what was kept, to the same release on the same processor', async () => {
    const path = join(newFolder(), 'threads.json');
    expect(await open(path).find(KEY)).toBeUndefined();
    const file = open(path);
    await Promise.all([file.keep(KEY, choice), file.keep('other', { ...choice, threads: 1 })]);
    expect(await open(path).find(KEY)).toEqual(choice);
    expect(await open(path).find('other')).toMatchObject({ threads: 1 });
    expect(await open(path, { release: '1.0.1' }).find(KEY)).toBeUndefined();
    expect(await open(path, { processor: 'arm64 B' }).find(KEY)).toBeUndefined();
  });

  it.each([
    ['torn', (text: string) => text.slice(0, -10)],
    ['of another shape', (text: string) => text.replace('"threads":2', '"threads":0')],
    ['far too large', (text: string) => text + ' '.repeat(1 << 20)],
  ])('knows nothing by a file that is %s (B24)', async (_, damage) => {
    const path = join(newFolder(), 'threads.json');
    await open(path).keep(KEY, choice);
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    const file = open(path);
    expect(await file.find(KEY)).toBeUndefined();
    await file.keep(KEY, choice);
    expect(await open(path).find(KEY)).toEqual(choice);
  });

  it('forgets what was kept first when there is too much', async () => {
    const path = join(newFolder(), 'threads.json');
    const file = open(path);
    await Promise.all(Array.from({ length: 257 }, (_, i) => file.keep(String(i), choice)));
    expect(await open(path).find('0')).toBeUndefined();
    expect(await open(path).find('256')).toEqual(choice);
  });

  it('says in the log what could not be read or written, and goes on', async () => {
    const folder = newFolder();
    const log = recordedLog();
    const file = open(folder, {}, log); // a folder is no file
    expect(await file.find(KEY)).toBeUndefined();
    await file.keep(KEY, choice);
    expect(await file.find(KEY)).toEqual(choice);
    expect(log.lines.map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'which threads suit models could not be read: measured anew'],
      ['warn', 'which threads suit models could not be stored'],
    ]);
  });
});
