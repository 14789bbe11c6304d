import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  judgeBudget,
  judgeClock,
  judgeMemory,
  judgeProcessor,
  readMachine,
  type Machine,
} from '@tidegate/edge-agent/doctor/check-machine.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const MIB = 2 ** 20;
const folder = temporaryFolders('machine');
const machine: Machine = {
  ...{ cores: 4, quotaCores: undefined, totalBytes: 4096 * MIB, freeBytes: 2048 * MIB },
  ...{ limitBytes: undefined, usedOfLimitBytes: undefined },
};

describe('the machine', () => {
  it('counts what the cgroup leaves, not what the machine has', async () => {
    const root = folder();
    mkdirSync(join(root, 'sys/fs/cgroup'), { recursive: true });
    writeFileSync(join(root, 'sys/fs/cgroup/memory.max'), `${200 * MIB}`);
    writeFileSync(join(root, 'sys/fs/cgroup/memory.current'), `${150 * MIB}`);
    writeFileSync(join(root, 'sys/fs/cgroup/cpu.max'), '50000 100000');
    const read = await readMachine(systemFiles, root);
    expect(read).toMatchObject({ limitBytes: 200 * MIB, quotaCores: 0.5 });
    expect(judgeMemory({ ...read, freeBytes: 4096 * MIB })).toMatchObject({
      level: 'fail',
      found: expect.stringMatching(/^50 MiB free of .*cgroup limit 200 MiB$/) as string,
      mend: expect.stringContaining('MemoryMax') as string,
    });
    expect(judgeMemory(machine).level).toBe('ok');
    expect(judgeMemory({ ...machine, freeBytes: 200 * MIB })).toMatchObject({
      level: 'warn',
      mend: expect.stringContaining('smaller models') as string,
    });
  });

  it('has a memory budget that bounds something, and leaves room for one model', () => {
    expect(judgeBudget(machine, undefined)).toEqual({ level: 'ok', found: 'none' });
    expect(judgeBudget(machine, 'none').level).toBe('warn');
    expect(judgeBudget(machine, 512 * MIB)).toMatchObject({ level: 'ok', found: '512 MiB, 4.0 GiB in the device' });
    expect(judgeBudget(machine, 8192 * MIB)).toMatchObject({ level: 'warn' });
    expect(judgeBudget(machine, 64 * MIB)).toMatchObject({
      level: 'fail',
      mend: 'set --memory-budget to at least 96 MiB',
    });
    const limited = { ...machine, limitBytes: 1000 * MIB };
    expect(judgeBudget(limited, undefined)).toMatchObject({
      found: expect.stringMatching(/^900 MiB, by the cgroup/) as string,
    });
    expect(judgeBudget(limited, 2000 * MIB)).toMatchObject({ found: expect.stringMatching(/^900 MiB, by/) as string });
    expect(judgeBudget(limited, 500 * MIB)).toMatchObject({ found: expect.stringMatching(/^500 MiB, 4/) as string });
  });

  it('warns of threads that the quota does not carry', () => {
    expect(judgeProcessor(machine, 4).level).toBe('ok');
    expect(judgeProcessor({ ...machine, quotaCores: 1.5 }, 2).level).toBe('ok');
    expect(judgeProcessor({ ...machine, quotaCores: 1.5 }, 4)).toMatchObject({
      level: 'warn',
      mend: expect.stringContaining('--threads to at most 1') as string,
    });
    expect(judgeProcessor({ ...machine, quotaCores: 1.5 }, 'auto')).toMatchObject({
      level: 'ok',
      found: expect.stringContaining('as measured: see `tidegate-agent status`') as string,
    });
    expect(judgeProcessor({ ...machine, quotaCores: 0.25 }, 1).level).toBe('warn');
  });

  it('compares the clock with what is certain and with the hub', () => {
    const nowMs = Date.UTC(2026, 10, 26);
    expect(judgeClock('plausible', undefined, nowMs)).toMatchObject({ level: 'ok' });
    expect(judgeClock('plausible', 900, nowMs).level).toBe('ok');
    expect(judgeClock('plausible', -120_000, nowMs)).toMatchObject({
      level: 'warn',
      found: "2026-11-26T00:00:00.000Z, 120 s behind the hub's",
      mend: expect.stringContaining('set-ntp') as string,
    });
    expect(judgeClock('behind', 0, 0)).toMatchObject({ level: 'warn' });
  });
});
