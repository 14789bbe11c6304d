// What makes two starts of a process the same job: whatever the weights at an update depend on. A checkpoint or a result of another
// digest is not this job's. The slices are in it for the samples that they hold out of training.
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import type { JobOrder } from './job-order.js';

/** Raised when the order of the data, or anything else beside the step graph, changes what an update makes. */
const CODE_VERSION = 1;

interface JobFacts {
  readonly order: Pick<JobOrder, 'graph' | 'datasets' | 'slices' | 'parameters' | 'threads'>;
  /** Of the parent's package: graph, external data and steps. */
  readonly versionDigest: Digest;
  /** Versions of the hub and of the engine. */
  readonly builds: readonly string[];
}

/** Figures of two builds, or of two numbers of threads, differ in their last bits. */
export function jobDigest({ order, versionDigest, builds }: JobFacts): Digest {
  const { graph, datasets, slices, parameters, threads } = order;
  return sha256(
    JSON.stringify({
      code: CODE_VERSION,
      builds,
      platform: `${process.platform}-${process.arch}`,
      versionDigest,
      graph: graph ?? '',
      datasets: datasets.map(({ digest }) => digest),
      slices: slices.map(({ digest }) => digest),
      parameters: sortedByKey(parameters),
      threads,
    }),
  );
}

function sortedByKey(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));
}
