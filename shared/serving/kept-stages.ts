// Stages of a pipeline whose outputs are kept, so that a version which changed only its last graph takes what the expensive
// first one made. A stage is a graph's run: keyed by the graph's own content, what runs it and the very bytes that feed it, so
// whatever the steps before it did is in the key. Where they are kept, and for how long, is the agent's.
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { NamedTensor } from '../tensor/tensor.js';
import type { FileEntry } from '../wire/manifest.js';

export interface StageQuestion {
  /** The graph's path in its package. */
  readonly graph: string;
  /** By stageIdentity: two graphs with one identity answer alike. */
  readonly identity: string;
  readonly feeds: readonly NamedTensor[];
  readonly outputs: readonly string[];
}

export interface StageLook {
  /** What was kept; undefined = it must be run. */
  readonly outputs: readonly NamedTensor[] | undefined;
  /** Keeps what the run made. `computeUs`: what it took. */
  keep(outputs: readonly NamedTensor[], computeUs: number): void;
}

/** The stages of one request: whoever makes it has bound model, tags and freshness. */
export interface KeptStages {
  /** Undefined where this stage is neither looked up nor kept. */
  look(question: StageQuestion): StageLook | undefined;
}

/** What decides a graph's outputs beside its feeds: its file, its external data, and engine and provider that run it. */
export function stageIdentity(
  graph: string,
  { files, externalData }: { readonly files: readonly FileEntry[]; readonly externalData: readonly string[] },
  runs: readonly string[],
): string {
  const digests = new Map(files.map(({ path, digest }) => [path, digest]));
  const data = externalData.map((path) => [path, digests.get(posix.join(posix.dirname(graph), path))]);
  const head = JSON.stringify([digests.get(graph), data, runs]);
  return `stage:${createHash('sha256').update(head).digest('base64url')}`;
}
