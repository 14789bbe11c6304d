// How much memory a server (agent or hub) and its executors may use together: what was asked for, and never what the cgroup would kill them for.
import type { ModelYaml } from '../wire/model-yaml.js';

/** Of the cgroup's limit: the rest is the kernel's (page tables, sockets, files that are being read). */
const SHARE_OF_CGROUP = 0.9;

/** `asked`: the setting; undefined = as the cgroup allows. Undefined = no budget. */
export function memoryBudget(asked: number | 'none' | undefined, cgroupBytes: number | undefined): number | undefined {
  if (asked === 'none') return undefined;
  const allowed = cgroupBytes === undefined ? undefined : Math.floor(cgroupBytes * SHARE_OF_CGROUP);
  return asked === undefined ? allowed : Math.min(asked, allowed ?? Infinity);
}

/** Before a model was ever loaded here: an executor, and its weights with what the engine makes of them. */
const EXECUTOR_BYTES = 40 * 2 ** 20;
const WEIGHTS_FACTOR = 1.25;

export function estimatedBytes(
  { pipeline }: Pick<ModelYaml, 'pipeline'>,
  files: readonly { readonly sizeBytes: number }[],
): number {
  const graphs = pipeline.flatMap((node) => ('graph' in node ? [node] : []));
  const alone = new Set(graphs.flatMap(({ graph, state }) => (state === undefined ? [] : graph))).size;
  const together = graphs.some(({ state }) => state === undefined) ? 1 : 0; // runtime/placement-policy.ts
  const fileBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return Math.round((alone + together) * EXECUTOR_BYTES + fileBytes * WEIGHTS_FACTOR);
}
