import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { installUnit, uninstallUnit } from '@tidegate/edge-agent/service/install-unit.js';
import { UNIT_NAME } from '@tidegate/edge-agent/service/systemd-unit.js';
import { systemFiles as files } from '@tidegate/shared/system/files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('install-unit');

function machine() {
  const folder = newFolder();
  const [calls, said]: [string[], string[]] = [[], []];
  const systemctl = async (...words: string[]): Promise<void> => void calls.push(words.join(' '));
  return { folder, calls, said, modules: { files, systemctl, say: (line: string) => void said.push(line), folder } };
}

it('writes the unit before systemd is told, and takes it away again', async () => {
  const { folder, calls, said, modules } = machine();
  const path = join(folder, UNIT_NAME);
  await installUnit('[Unit]\n', modules);
  expect(readFileSync(path, 'utf8')).toBe('[Unit]\n');
  expect(calls).toEqual(['daemon-reload', `enable ${UNIT_NAME}`, `restart ${UNIT_NAME}`]);
  await uninstallUnit(modules);
  expect(existsSync(path)).toBe(false);
  expect(calls.slice(3)).toEqual([`disable --now ${UNIT_NAME}`, 'daemon-reload']);
  expect(said.at(-1)).toContain('data folder is as it was');
});

it('has nothing to take away twice', async () => {
  const { calls, said, modules } = machine();
  await uninstallUnit(modules);
  expect(calls).toEqual([]);
  expect(said[0]).toContain('not there');
});
