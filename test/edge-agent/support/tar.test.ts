// Held against the system's tar, which is what people will open it with.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tarOf } from '@tidegate/edge-agent/support/tar.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('tar');

it('is an archive that tar unpacks to the same bytes, of whatever size', () => {
  const folder = newFolder();
  const files = [0, 1, 511, 512, 513, 100_000].map((size) => ({ path: `of-${size}.bin`, data: Buffer.alloc(size, 7) }));
  files.push({ path: 'a/deep/näme.txt', data: Buffer.from('hello') });
  writeFileSync(join(folder, 'x.tar'), tarOf(files, Date.UTC(2026, 0, 2)));
  mkdirSync(join(folder, 'out'));
  execFileSync('tar', ['-xf', join(folder, 'x.tar'), '-C', join(folder, 'out')]);
  for (const { path, data } of files) expect(readFileSync(join(folder, 'out', path)).equals(data)).toBe(true);
  const listed = execFileSync('tar', ['-tvf', join(folder, 'x.tar')], { env: { TZ: 'UTC', LC_ALL: 'C' } }).toString();
  expect(listed).toMatch(/^-rw------- .* 511 2026-01-02 .* of-511\.bin$/m);
});

it('refuses a path that the header can not hold', () => {
  expect(() => tarOf([{ path: 'x'.repeat(101), data: Buffer.alloc(0) }], 0)).toThrow('longer than 100 bytes');
});
