import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readCgroupLimits, usableCores } from '@tidegate/shared/system/cgroup-limits.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('cgroup');

function rootWith(files: Readonly<Record<string, string>>): string {
  const root = folder();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return root;
}

const hasTaskset = existsSync('/usr/bin/taskset');
if (!hasTaskset) console.warn('SKIPPED: the cpuset of a process, no taskset (apt-get install util-linux)');

describe('readCgroupLimits', () => {
  it('takes the least on the way up (v2)', async () => {
    const root = rootWith({
      'proc/self/cgroup': '0::/system.slice/agent.service',
      'sys/fs/cgroup/system.slice/agent.service/cpu.max': 'max 100000',
      'sys/fs/cgroup/system.slice/agent.service/memory.max': '536870912',
      'sys/fs/cgroup/system.slice/agent.service/memory.current': '1048576',
      'sys/fs/cgroup/system.slice/cpu.max': '150000 100000',
      'sys/fs/cgroup/system.slice/memory.max': 'max',
    });
    expect(await readCgroupLimits(systemFiles, root)).toEqual({
      cpuCores: 1.5,
      memoryBytes: 536870912,
      memoryUsedBytes: 1048576,
    });
  });

  it('reads v1, where the path of the host is not in the container', async () => {
    const root = rootWith({
      'proc/self/cgroup': '4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '50000',
      'sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '268435456',
      'sys/fs/cgroup/memory/memory.usage_in_bytes': '4096',
    });
    expect(await readCgroupLimits(systemFiles, root)).toEqual({
      cpuCores: 0.5,
      memoryBytes: 268435456,
      memoryUsedBytes: 4096,
    });
  });

  it('knows no limit where the files say none, or are not there', async () => {
    const none = { cpuCores: undefined, memoryBytes: undefined, memoryUsedBytes: undefined };
    const unlimited = rootWith({
      'proc/self/cgroup': '3:cpu:/\n4:memory:/',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
      'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
    });
    expect(await readCgroupLimits(systemFiles, unlimited)).toEqual(none);
    expect(await readCgroupLimits(systemFiles, folder())).toEqual(none);
  });
});

describe('usableCores (B23)', () => {
  it('is no more than the quota pays for, rounded up, and at least one', () => {
    expect(usableCores({ cpuCores: undefined }, 64)).toBe(64);
    expect(usableCores({ cpuCores: 1.5 }, 64)).toBe(2);
    expect(usableCores({ cpuCores: 0.25 }, 64)).toBe(1);
    expect(usableCores({ cpuCores: 8 }, 2)).toBe(2);
  });

  it.skipIf(!hasTaskset && process.env['CI'] === undefined)('keeps to the cpuset that the process was given', () => {
    const built = fileURLToPath(new URL('../../../shared/dist/system/cgroup-limits.js', import.meta.url));
    const program = `import(${JSON.stringify(built)}).then(({ usableCores }) => console.log(usableCores({})))`;
    const out = execFileSync('/usr/bin/taskset', ['-c', '0', process.execPath, '-e', program], { encoding: 'utf8' });
    expect(out).toBe('1\n');
  });
});
