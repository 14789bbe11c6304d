// The budget of a server over this test's own process, as the system tells it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { openResidency } from '@tidegate/shared/residency/open-residency.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { recordedLog } from '../../support/recorded-log.js';

const GIB = 2 ** 30;
const modules = { clock: systemClock, files: systemFiles };
const signal = new AbortController().signal;

it('takes its budget from the setting and the cgroup, and says so', () => {
  const log = recordedLog();
  const limits = { memoryBytes: 10 * GIB };
  expect(openResidency({ budgetBytes: undefined }, { ...modules, log, limits }).report.budgetBytes).toBe(9 * GIB);
  expect(log.lines.at(-1)).toMatchObject({ message: 'memory budget' });
  expect(openResidency({ budgetBytes: 'none' }, { ...modules, log, limits }).report.budgetBytes).toBeNull();
});

it('counts this process and those that it is told of, beside the models', async () => {
  const others: number[] = [];
  const residency = openResidency(
    { budgetBytes: 1 },
    { ...modules, log: recordedLog(), limits: {}, otherPids: () => others },
  );
  const ownBytes = async (): Promise<number> => {
    const rules = { keepAliveMs: undefined, pinned: () => false };
    const open = (): Promise<never> => Promise.reject(new Error('not asked'));
    await expect(residency.admit('m', { bytes: 1, rules }, open, signal)).rejects.toMatchObject({ code: 'not-ready' });
    return residency.report.ownBytes;
  };
  const alone = await ownBytes();
  expect(alone).toBeGreaterThan(5 * 2 ** 20); // its share of what it maps
  const hog = "const held = Buffer.alloc(400 * 2 ** 20, 1); process.stdout.write('here'); setInterval(() => held, 1e6)";
  const job = spawn(process.execPath, ['-e', hog], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(job.stdout, 'data');
    others.push(job.pid ?? 0);
    expect((await ownBytes()) - alone).toBeGreaterThan(300 * 2 ** 20);
  } finally {
    job.kill('SIGKILL');
  }
});
