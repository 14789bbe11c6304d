// What the cgroup of this process allows, v1 and v2: cores' worth of CPU time, bytes of memory, bytes in use. A limit of any
// ancestor holds too, so each is the least on the way up. Where a container hides its ancestors, the mount's own files are
// the way's end. Reads files only, under a root that tests replace.
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { Files } from './files.js';

export interface CgroupLimits {
  /** Cores' worth of time: quota / period. Undefined = no limit. */
  readonly cpuCores: number | undefined;
  readonly memoryBytes: number | undefined;
  /** What the group that has the memory limit uses now. */
  readonly memoryUsedBytes: number | undefined;
}

/** v1 writes "no limit" as the largest page-aligned number. */
const NO_LIMIT_BYTES = 2 ** 60;

/** Nothing of it rejects: a file that isn't there is no limit. `root` is `/` but in tests. */
export async function readCgroupLimits(files: Pick<Files, 'read'>, root = '/'): Promise<CgroupLimits> {
  const read = async (path: string): Promise<string | undefined> => {
    try {
      return Buffer.from(await files.read('cgroup.read', path))
        .toString('utf8')
        .trim();
    } catch {
      return undefined; // not this version of cgroups, or no limit at this level
    }
  };
  const groups = groupsOf((await read(join(root, 'proc/self/cgroup'))) ?? '');
  const mount = join(root, 'sys/fs/cgroup');
  let cpuCores = Infinity;
  let memory: { limit: number; used: number | undefined } = { limit: Infinity, used: undefined };
  const cpu = (cores: number): void => void (cpuCores = Math.min(cpuCores, cores));
  const limitMemory = (limit: number, used: string | undefined): void => {
    if (limit < memory.limit && limit < NO_LIMIT_BYTES) memory = { limit, used: numberOf(used) };
  };
  for (const folder of upwards(mount, groups.unified ?? '/')) {
    cpu(ratio((await read(join(folder, 'cpu.max')))?.split(' ') ?? []));
    limitMemory(
      numberOf(await read(join(folder, 'memory.max'))) ?? Infinity,
      await read(join(folder, 'memory.current')),
    );
  }
  for (const folder of upwards(join(mount, groups.cpu?.mount ?? 'cpu'), groups.cpu?.path ?? '/')) {
    const quota = await read(join(folder, 'cpu.cfs_quota_us'));
    cpu(ratio([quota ?? '', (await read(join(folder, 'cpu.cfs_period_us'))) ?? '']));
  }
  for (const folder of upwards(join(mount, groups.memory?.mount ?? 'memory'), groups.memory?.path ?? '/')) {
    limitMemory(
      numberOf(await read(join(folder, 'memory.limit_in_bytes'))) ?? Infinity,
      await read(join(folder, 'memory.usage_in_bytes')),
    );
  }
  return {
    cpuCores: finite(cpuCores),
    memoryBytes: finite(memory.limit),
    memoryUsedBytes: memory.used,
  };
}

/** Cores that are of use: those that affinity (cpuset, taskset) leaves, and no more than the quota pays for (field lesson B23). */
export function usableCores(
  { cpuCores }: Partial<Pick<CgroupLimits, 'cpuCores'>>,
  affine = availableParallelism(),
): number {
  return Math.max(1, Math.min(affine, Math.ceil(cpuCores ?? affine)));
}

interface V1Group {
  /** The controllers' folder: `cpu,cpuacct`. */
  readonly mount: string;
  readonly path: string;
}

/** `/proc/self/cgroup`: `0::/a/b` is v2, `4:cpu,cpuacct:/a` v1 (cgroups(7)). */
function groupsOf(text: string): { unified?: string; cpu?: V1Group; memory?: V1Group } {
  const found: { unified?: string; cpu?: V1Group; memory?: V1Group } = {};
  for (const line of text.split('\n')) {
    const [, id, mount, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (id === undefined || mount === undefined || path === undefined) continue;
    if (id === '0' && mount === '') found.unified = path;
    if (mount.split(',').includes('cpu')) found.cpu = { mount, path };
    if (mount.split(',').includes('memory')) found.memory = { mount, path };
  }
  return found;
}

/** The group's folder and its ancestors', the mount last. */
function upwards(mount: string, path: string): string[] {
  const folders: string[] = [];
  for (let at = join('/', path); at !== '/'; at = dirname(at)) folders.push(join(mount, at));
  return [...folders, mount];
}

/** `max` and -1 are no limit. */
function ratio([quota, period]: readonly string[]): number {
  const [above, below] = [Number(quota), Number(period)];
  return above > 0 && below > 0 ? above / below : Infinity;
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}
