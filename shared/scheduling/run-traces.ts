// In whose traces a run is told: a run that several requests shared is told in each of theirs, and names the others.
import type { TraceContext } from '../tracing/trace-context.js';

const UNTRACED: readonly TraceContext[] = [];

/** Of the members that are traced, in their order. */
export function tracesOf(
  members: readonly { readonly work: { readonly trace?: TraceContext | undefined } }[],
): readonly TraceContext[] {
  if (members.every(({ work }) => work.trace === undefined)) return UNTRACED;
  return members.flatMap(({ work }) => work.trace ?? []);
}
