// Does padding change what a graph answers? Asked when a version is published, of the package's own goldens: what they feed the
// graph runs alone, then together, padded to the longest, and both have to agree within the package's tolerance. A device tries
// it again with its own first such run (sharing-proof.ts), since variants and providers differ.
import { cutOutputs, differenceBetween, lengthOf, type PaddingRule } from '../scheduling/padding-rule.js';
import { concatRagged, splitRows } from '../scheduling/rows.js';
import type { NamedTensor } from '../tensor/tensor.js';
import type { GraphSlot, PipelineRequest } from './evaluate-request.js';

/** Samples that are compared, of different lengths. */
const SAMPLES_MAX = 8;

export interface UnprovenPadding {
  /** Of model.yaml. */
  readonly field: string;
  readonly reason: string;
}

/**
 * Why requests may not be padded as the package says; undefined where they may, or where it doesn't say so. `ask` answers some
 * goldens, telling what each graph is fed for them.
 */
export async function provePaddings(
  slots: readonly GraphSlot[],
  ask: (onFeeds: PipelineRequest['onFeeds']) => Promise<void>,
  signal: AbortSignal,
): Promise<UnprovenPadding | undefined> {
  const padded = slots.filter(({ ragged, batchRowsMax }) => ragged !== undefined && batchRowsMax > 1);
  if (padded.length === 0) return undefined;
  const samples = new Map<string, (readonly NamedTensor[])[]>(padded.map(({ graph }) => [graph, []]));
  await ask((graph, feeds) => samples.get(graph)?.push(feeds));
  for (const { graph, ragged: rule, runner } of padded) {
    if (rule === undefined) continue;
    const run: RunOnce = async (feeds) => (await runner.run(feeds, [], signal)).outputs;
    const reason = await provePadding(samples.get(graph) ?? [], rule, run);
    if (reason !== undefined) return { field: rule.field, reason: `padding ${reason}` };
  }
  return undefined;
}

/** Runs the graph once, with all of its outputs. */
type RunOnce = (feeds: readonly NamedTensor[]) => Promise<readonly NamedTensor[]>;

/** Why it is not proven; undefined where it is. Rejects with what `run` rejects with. */
export async function provePadding(
  samples: readonly (readonly NamedTensor[])[],
  rule: PaddingRule,
  run: RunOnce,
): Promise<string | undefined> {
  const byLength = new Map<number, readonly NamedTensor[]>();
  for (const feeds of samples) {
    const length = lengthOf(feeds, rule);
    if (length !== undefined && !byLength.has(length)) byLength.set(length, feeds);
  }
  if (byLength.size < 2) {
    return `can't be proven: the goldens have to feed the graph at least two lengths, and ${lengthsOf(byLength)}`;
  }
  const chosen = spread([...byLength].sort(([a], [b]) => a - b));
  const longest = chosen.at(-1)?.[0] ?? 0;
  const alone: (readonly NamedTensor[])[] = [];
  for (const [, feeds] of chosen) alone.push(await run(feeds));
  const joined = concatRagged(
    chosen.map(([, feeds]) => feeds),
    rule,
    longest,
  );
  const rows = chosen.map(([, feeds]) => feeds[0]?.shape[0] ?? 1);
  const split = splitRows(await run(joined), rows);
  if (split === undefined) return 'can not be: the outputs do not follow the rows that the graph is fed';
  for (const [at, [length]] of chosen.entries()) {
    const cut = cutOutputs(split[at] ?? [], rule, longest, length);
    if (cut === undefined) return `can not be: an output of 'outputs' has not the padded length ${longest}`;
    const difference = differenceBetween(alone[at] ?? [], cut, rule.tolerance);
    if (difference !== undefined)
      return `changes the answer: of a golden of length ${length} padded to ${longest}, ${difference}`;
  }
  return undefined;
}

function lengthsOf(byLength: ReadonlyMap<number, unknown>): string {
  const [only] = byLength.keys();
  return only === undefined ? 'feed it none' : `all feed it ${only}`;
}

/** The shortest, the longest, and some between. */
function spread<T>(sorted: readonly T[]): readonly T[] {
  const count = Math.min(SAMPLES_MAX, sorted.length);
  return Array.from({ length: count }, (_, at) => sorted[Math.round((at * (sorted.length - 1)) / (count - 1))]!);
}
