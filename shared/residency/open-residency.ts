// The residency of a server: its budget from the setting and the cgroup, its memory as the system tells it.
import type { CgroupLimits } from '../system/cgroup-limits.js';
import type { Clock } from '../system/clock.js';
import type { Files } from '../system/files.js';
import type { Log } from '../system/log.js';
import { readProcessMemory } from '../system/process-memory.js';
import { memoryBudget } from './memory-budget.js';
import { Residency } from './residency.js';

interface ResidencySettings {
  /** As memoryBudget. */
  readonly budgetBytes: number | 'none' | undefined;
  /** Models in memory at once; absent = any number. */
  readonly modelsMax?: number;
}

interface OpenResidencyModules {
  readonly clock: Clock;
  readonly log: Log;
  readonly files: Pick<Files, 'read'>;
  readonly limits: Partial<CgroupLimits>;
  /** Processes beside this one and the models' executors whose memory counts. */
  readonly otherPids?: () => readonly number[];
  /** As Residency takes it. */
  readonly collect?: () => boolean;
}

export function openResidency(
  { budgetBytes: asked, ...settings }: ResidencySettings,
  modules: OpenResidencyModules,
): Residency {
  const { clock, log, files, limits, otherPids, collect } = modules;
  const limitBytes = memoryBudget(asked, limits.memoryBytes);
  if (limitBytes !== undefined)
    log.info({ budgetBytes: limitBytes, asked, cgroupBytes: limits.memoryBytes }, 'memory budget');
  const memoryOf = async (pid: number): Promise<number | undefined> =>
    (await readProcessMemory(pid, files))?.proportionalBytes;
  const ownPids = (): number[] => [process.pid, ...(otherPids?.() ?? [])];
  return new Residency({ ...settings, limitBytes }, { clock, log, memoryOf, ownPids, collect });
}
