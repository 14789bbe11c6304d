// What of a node has to be run, once the branches before it have decided: nothing, all, or some: items of a list, or rows of the
// request.
import type { PlannedNode } from '../package/dataflow.js';
import type { Guard, Side } from './pipeline-guards.js';

/** A list: by item of the node that runs for each, or by row. */
export type Need = boolean | readonly boolean[];
/** Whether a branch's test held, for a list by item, for several rows by row; undefined where nothing was decided. */
export type Decision = boolean | undefined | readonly (boolean | undefined)[];

export class PipelineNeeds {
  readonly #guards: ReadonlyMap<PlannedNode, Guard>;
  readonly #decide: (branch: PlannedNode) => Promise<Decision>;
  readonly #decisions = new Map<PlannedNode, Promise<Decision>>();

  /** `decide` is asked once for each branch. */
  constructor(guards: ReadonlyMap<PlannedNode, Guard>, decide: (branch: PlannedNode) => Promise<Decision>) {
    this.#guards = guards;
    this.#decide = decide;
  }

  /** Resolves when the branches have decided that the node may hang on. Rejects as `decide`. */
  async of(node: PlannedNode): Promise<Need> {
    const guard = this.#guards.get(node);
    if (guard === undefined) return true;
    const ways = await Promise.all(guard.map((way) => Promise.all(way.map((side) => this.#taken(side)))));
    return combined(
      ways.map((way) => combined(way, true)),
      false,
    );
  }

  decision(branch: PlannedNode): Promise<Decision> {
    const known = this.#decisions.get(branch);
    if (known !== undefined) return known;
    const decision = this.#decide(branch);
    this.#decisions.set(branch, decision);
    return decision;
  }

  async #taken({ branch, held, whole }: Side): Promise<Need> {
    const decision = await this.decision(branch);
    if (typeof decision !== 'object') return decision === held;
    const items = decision.map((one) => one === held);
    return whole ? items.includes(true) : items;
  }
}

/** Is item `at` of a node needed? */
export function needsItem(need: Need, at: number): boolean {
  return typeof need === 'boolean' ? need : need[at] === true;
}

/** All of them together (`every`), or any. Lists that meet are of one length. */
function combined(needs: readonly Need[], every: boolean): Need {
  const lists = needs.filter((need) => typeof need === 'object');
  const [first] = lists;
  const rest = needs.filter((need) => typeof need === 'boolean');
  if (rest.includes(!every)) return !every;
  if (first === undefined) return every;
  const items = first.map((_, at) =>
    every ? lists.every((list) => list[at] === true) : lists.some((list) => list[at] === true),
  );
  return items.includes(true) && (items.includes(false) ? items : true);
}
