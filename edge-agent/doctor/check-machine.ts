// Memory, processor and clock of this device, with what its cgroup allows of them. Pure judgements over what was read.
import { availableParallelism, freemem, totalmem } from 'node:os';
import type { Files } from '@tidegate/shared/system/files.js';
import { readCgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';
import { memoryBudget } from '@tidegate/shared/residency/memory-budget.js';
import { fail, fine, warn, type Verdict } from './finding.js';

const MEMORY_LEAST_BYTES = 96 * 2 ** 20;
/** An agent, and one small model in its executor. */
const BUDGET_LEAST_BYTES = 96 * 2 ** 20;
const MEMORY_COMFORTABLE_BYTES = 384 * 2 ** 20;
/** By what a hub's Date header may differ before anybody cares: its own grain is a second. */
const SKEW_MAX_MS = 30_000;

export interface Machine {
  readonly cores: number;
  readonly quotaCores: number | undefined;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly limitBytes: number | undefined;
  readonly usedOfLimitBytes: number | undefined;
}

export async function readMachine(files: Pick<Files, 'read'>, root = '/'): Promise<Machine> {
  const { cpuCores, memoryBytes, memoryUsedBytes } = await readCgroupLimits(files, root);
  return {
    ...{ cores: availableParallelism(), quotaCores: cpuCores, totalBytes: totalmem(), freeBytes: freemem() },
    ...{ limitBytes: memoryBytes, usedOfLimitBytes: memoryUsedBytes },
  };
}

/** An agent and one small model need about 200 MiB. */
export function judgeMemory({ totalBytes, freeBytes, limitBytes, usedOfLimitBytes = 0 }: Machine): Verdict {
  const left = Math.min(freeBytes, (limitBytes ?? Infinity) - usedOfLimitBytes);
  const limit = limitBytes === undefined ? 'no cgroup limit' : `cgroup limit ${size(limitBytes)}`;
  const found = `${size(left)} free of ${size(totalBytes)}, ${limit}`;
  const mend =
    limitBytes !== undefined && limitBytes - usedOfLimitBytes < freeBytes
      ? 'raise the memory limit of the container or service (MemoryMax, docker --memory)'
      : 'end other programs, or take smaller models or variants';
  if (left < MEMORY_LEAST_BYTES) return fail(found, mend);
  return left < MEMORY_COMFORTABLE_BYTES ? warn(found, mend) : fine(found);
}

/** `asked` is the setting --memory-budget. */
export function judgeBudget({ totalBytes, limitBytes }: Machine, asked: number | 'none' | undefined): Verdict {
  const budget = memoryBudget(asked, limitBytes);
  if (budget === undefined) {
    const mend = 'set --memory-budget, so that models beyond it are loaded when they are asked for';
    return asked === 'none' ? warn('none: nothing bounds what all models use together', mend) : fine('none');
  }
  const of = limitBytes !== undefined && (asked === undefined || budget !== asked) ? ', by the cgroup limit' : '';
  const found = `${size(budget)}${of}, ${size(totalBytes)} in the device`;
  if (budget > totalBytes) return warn(found, 'set --memory-budget below what the device has, or it bounds nothing');
  if (budget < BUDGET_LEAST_BYTES) return fail(found, `set --memory-budget to at least ${size(BUDGET_LEAST_BYTES)}`);
  return fine(found);
}

/** `threads` is the setting: threads of one run. */
export function judgeProcessor({ cores, quotaCores }: Machine, threads: number | 'auto'): Verdict {
  const quota = quotaCores === undefined ? 'no cgroup quota' : `cgroup quota ${quotaCores.toFixed(2)} cores`;
  const told =
    threads === 'auto' ? 'threads per run as measured: see `tidegate-agent status`' : `${threads} threads per run`;
  const found = `${cores} cores, ${quota}, ${told}`;
  const usable = Math.min(cores, quotaCores ?? cores);
  if (usable < 0.5) return warn(found, 'raise the CPU quota: answers come in bursts below half a core');
  if (threads !== 'auto' && threads > Math.ceil(usable)) {
    return warn(found, `set --threads to at most ${Math.max(1, Math.floor(usable))}: more are throttled, not faster`);
  }
  return fine(found);
}

export function judgeClock(
  state: 'plausible' | 'behind' | 'ahead',
  skewMs: number | undefined,
  nowMs: number,
): Verdict {
  const now = new Date(nowMs).toISOString();
  const mend = 'let the system keep time: timedatectl set-ntp true, or replace the battery of the clock';
  if (state !== 'plausible') return warn(`${now} is ${state} of what is certain (signed metadata, this release)`, mend);
  if (skewMs === undefined) return fine(`${now}, plausible; there is no hub to compare it with`);
  const seconds = `${Math.abs(skewMs / 1000).toFixed(0)} s ${skewMs < 0 ? 'behind' : 'ahead of'} the hub's`;
  return Math.abs(skewMs) > SKEW_MAX_MS ? warn(`${now}, ${seconds}`, mend) : fine(`${now}, ${seconds}`);
}

function size(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
