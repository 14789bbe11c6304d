// What else loads the machine while something is measured on it: figures are of a machine that others use, and then they
// should say so. Looks before anything of ours runs.
import { availableParallelism, loadavg } from 'node:os';
import { BUSY_SHARE_MAX, observeBusyShare } from '@tidegate/shared/system/busy-share.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { readCgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';

export interface MachineLoad {
  readonly cores: number;
  /** Runnable processes, mean of the last minute; 0 where the system keeps none. */
  readonly loadAverage: number;
  /** 0 to 1, over all cores, in the moment before the measurement. */
  readonly busyShare: number;
  /** Cores' worth of time that the cgroup allows. */
  readonly quotaCores: number | undefined;
}

const LOAD_PER_CORE_MAX = 0.5;

export async function observeLoad(
  { files, clock }: { files: Pick<Files, 'read'>; clock: Clock },
  signal: AbortSignal,
): Promise<MachineLoad> {
  const busyShare = await observeBusyShare(clock, signal);
  const { cpuCores: quotaCores } = await readCgroupLimits(files);
  return { cores: availableParallelism(), loadAverage: loadavg()[0] ?? 0, busyShare, quotaCores };
}

/** Sentences; none on a quiet machine that is all ours. */
export function loadWarnings({ cores, loadAverage, busyShare, quotaCores }: MachineLoad): string[] {
  const warnings: string[] = [];
  if (busyShare > BUSY_SHARE_MAX) {
    const percent = (busyShare * 100).toFixed(0);
    warnings.push(
      `other programs used ${percent} % of the CPU before this began: the figures are slower than the device`,
    );
  } else if (loadAverage > LOAD_PER_CORE_MAX * cores) {
    warnings.push(
      `the load average is ${loadAverage.toFixed(1)} on ${cores} cores: other programs may have slowed the figures`,
    );
  }
  if (quotaCores !== undefined && quotaCores < cores) {
    warnings.push(
      `the cgroup allows ${quotaCores.toFixed(2)} of ${cores} cores: long runs are throttled, p99 shows it; threads beyond that cost more than they give`,
    );
  }
  return warnings;
}
