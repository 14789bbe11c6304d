import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { readProcessMemory } from '@tidegate/shared/system/process-memory.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('process-memory');

function rootWith(files: Readonly<Record<string, string>>): string {
  const root = `${folder()}/`;
  mkdirSync(join(root, 'proc/7'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, 'proc/7', name), text);
  return root;
}

describe('readProcessMemory', () => {
  it('reads what is resident, its peak, and the share of what others map too', async () => {
    const root = rootWith({
      status: 'Name:\tnode\nVmHWM:\t  90000 kB\nVmRSS:\t  80000 kB\n',
      smaps_rollup: '55cf-7ffd ---p 0 00:00 0 [rollup]\nRss:  80000 kB\nPss:  30000 kB\nPss_Dirty:  5 kB\n',
    });
    expect(await readProcessMemory(7, systemFiles, root)).toEqual({
      residentBytes: 80_000 * 1024,
      peakBytes: 90_000 * 1024,
      proportionalBytes: 30_000 * 1024,
    });
  });

  it('takes the resident size where shares are not told', async () => {
    const root = rootWith({ status: 'VmHWM:\t 2 kB\nVmRSS:\t 1 kB\n' });
    expect(await readProcessMemory(7, systemFiles, root)).toMatchObject({ proportionalBytes: 1024 });
  });

  it('knows nothing of a process that is gone', async () => {
    expect(await readProcessMemory(8, systemFiles, rootWith({}))).toBeUndefined();
    expect(await readProcessMemory(undefined, systemFiles)).toBeUndefined();
  });

  it.runIf(process.platform === 'linux')('reads its own, which adds up to less than what is resident', async () => {
    const memory = await readProcessMemory(process.pid, systemFiles);
    expect(memory?.proportionalBytes).toBeGreaterThan(2 ** 20);
    expect(memory?.proportionalBytes).toBeLessThanOrEqual(memory?.residentBytes ?? 0);
  });
});
