// A variant's folder: a complete package in which the graphs that a pass could change are replaced. All other files are hard
// links to the published ones (copies where the file system has no links); nobody writes to either.
import * as fs from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { BuildGraphOrder, BuiltGraph } from './build-graph.js';

/** Workers always start from the compiled tree, also when this file runs from source. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../dist/optimizer/build-graph-worker.js' : './build-graph-worker.js',
  import.meta.url,
);

/** `reason`: why no graph of the package could be changed; then there is no folder. */
interface BuiltVariant {
  readonly reason: string | undefined;
}

/**
 * Builds `variant` of the package into `folder`, which must not exist. `unjudged`: graphs that no golden runs, and so stay as they are. Rejects
 * with the worker's error or the signal's reason.
 */
export async function buildVariant(
  pack: ModelPackage,
  variant: string,
  folder: string,
  signal: AbortSignal,
  unjudged: ReadonlySet<string> = new Set(),
): Promise<BuiltVariant> {
  const graphs = graphsOf(pack);
  const replaced: string[] = [];
  const reasons: string[] = [];
  for (const graph of graphs) {
    if (unjudged.has(graph)) {
      reasons.push(`${graph}: no golden runs it`);
      continue;
    }
    const { reason } = await inWorker({ variant, from: pack.pathOf(graph), to: join(folder, graph) }, signal);
    if (reason === undefined) replaced.push(graph);
    else reasons.push(graphs.length === 1 ? reason : `${graph}: ${reason}`);
  }
  if (replaced.length === 0) {
    await fs.rm(folder, { recursive: true, force: true });
    return { reason: reasons.join('; ') || 'the package has no graph' };
  }
  const left = await leftOver(pack, graphs, replaced);
  for (const { path } of pack.files) {
    signal.throwIfAborted();
    if (!replaced.includes(path) && !left.has(path)) await linkOrCopy(pack.pathOf(path), join(folder, path));
  }
  return { reason: undefined };
}

function graphsOf(pack: ModelPackage): string[] {
  return [...new Set(pack.yaml.pipeline.flatMap((node) => ('graph' in node ? [node.graph] : [])))];
}

/** External data that only replaced graphs used: they are part of those graphs now. */
async function leftOver(
  pack: ModelPackage,
  graphs: readonly string[],
  replaced: readonly string[],
): Promise<Set<string>> {
  const users = { replaced: new Set<string>(), kept: new Set<string>() };
  for (const graph of graphs) {
    const { externalData = [] } = await inspectGraphFile(pack.pathOf(graph));
    const files = replaced.includes(graph) ? users.replaced : users.kept;
    for (const path of externalData) files.add(posix.join(posix.dirname(graph), path));
  }
  return new Set([...users.replaced].filter((path) => !users.kept.has(path)));
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await fs.mkdir(dirname(to), { recursive: true });
  try {
    await fs.link(from, to);
  } catch {
    await fs.copyFile(from, to); // another volume, or a file system without links; a real fault shows here again
  }
}

function inWorker(order: BuildGraphOrder, signal: AbortSignal): Promise<BuiltGraph> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const worker = new Worker(WORKER, { workerData: order });
    const onAbort = (): void => {
      void worker.terminate();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => {
      signal.removeEventListener('abort', onAbort);
      reject(new Error(`building ${order.variant} ended with code ${code} and no result`)); // nothing, once it is settled
    });
    return undefined;
  });
}
