// A branch that decides for each row of a request: its sides run for their rows only, in one run each. Every value keeps the request's number of
// rows, so that rows are found again by their place; what wasn't run for a row is zeros there, and nobody reads them.
import type { PlannedNode } from '../package/dataflow.js';
import type { Choosing } from '../steps/step.js';
import { typeName } from '../steps/step-types.js';
import { takeRows } from '../tensor/take-rows.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';
import { needsItem, type Need } from './pipeline-needs.js';
import { ServingError } from './serving-error.js';

/** The rows of `places`, of a value with `count` of them. `title`: the node that takes it. Throws ServingError where it has another number. */
export function gatherRows(title: string, value: Tensor, places: readonly number[], count: number): Tensor {
  checkRows(title, value, count, 'is fed');
  return takeRows(value, places.length, (at) => ({ of: value, at: places[at]! }));
}

/** What was made of the rows of `places`, at their places among `count`. Throws ServingError where the node made more or less. */
export function scatterRows(title: string, made: Tensor, places: readonly number[], count: number): Tensor {
  checkRows(title, made, places.length, 'made');
  const from = new Map(places.map((place, at) => [place, at]));
  return takeRows(made, count, (place) => {
    const at = from.get(place);
    return at === undefined ? undefined : { of: made, at };
  });
}

/**
 * What a branch decides for each row that was made. `field`: the input to name. Throws StepError for a value that isn't one element a row,
 * ServingError `invalid-argument` where there is no row.
 */
export function decidedRows(
  first: Tensor,
  need: Need,
  { holds }: Choosing,
  field = 'inputs',
): readonly (boolean | undefined)[] | boolean {
  const rows = elementCount(first.shape) ?? 0;
  if (rows === 0) throw new ServingError('invalid-argument', `input '${field}' has no rows`, { field });
  if (rows !== first.shape[0]) return holds(first);
  return Array.from({ length: rows }, (_, at) =>
    needsItem(need, at) ? holds(takeRows(first, 1, () => ({ of: first, at }))) : undefined,
  );
}

/** Each row of a branch's outputs from its side; a side that no row takes is empty. Constants have one row, which is every one. */
export function chosenRows(
  { title, outputs }: PlannedNode,
  decision: readonly (boolean | undefined)[],
  held: readonly Tensor[],
  other: readonly Tensor[],
): Tensor[] {
  return outputs.map((_, output) => {
    const sides = [held[output], other[output]].filter((side) => side !== undefined);
    const [like] = sides;
    if (like === undefined) throw new ServingError('failed', `${title} has no row to choose for`);
    for (const side of sides) {
      if (side.shape[0] !== 1) checkRows(title, side, decision.length, 'is fed');
      if (String(side.shape.slice(1)) === String(like.shape.slice(1))) continue;
      throw new ServingError('failed', `${title}: its sides differ: ${typeName(like)} and ${typeName(side)}`);
    }
    return takeRows(like, decision.length, (at) => {
      const side = decision[at] === undefined ? undefined : (decision[at] ? held : other)[output];
      return side && { of: side, at: side.shape[0] === 1 ? 0 : at };
    });
  });
}

function checkRows(title: string, value: Tensor, count: number, what: string): void {
  if (value.shape[0] === count) return;
  throw new ServingError('failed', `${title} ${what} ${typeName(value)}, but a branch decides for ${count} rows`);
}
