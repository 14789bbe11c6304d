// Which shapes an executor has run. On a GPU its first run of a shape may compile, for minutes (field lesson B19): such a run is
// not held to what runs of its size took, and says nothing of what they will take. An executor that replaces another compiles
// anew, so each has its own.
import type { NamedTensor } from '../tensor/tensor.js';

/** Beyond them a new shape counts as one that was run: the table stays small, and hanging is noticed all the same. */
const SHAPES_MAX = 1024;

export class CompiledShapes {
  readonly #shapes = new Set<string>();

  /** May a run with these inputs compile? */
  isNew(feeds: readonly NamedTensor[]): boolean {
    return this.#shapes.size < SHAPES_MAX && !this.#shapes.has(keyOf(feeds));
  }

  /** A run with these inputs has ended well. */
  ran(feeds: readonly NamedTensor[]): void {
    if (this.#shapes.size < SHAPES_MAX) this.#shapes.add(keyOf(feeds));
  }
}

function keyOf(feeds: readonly NamedTensor[]): string {
  return feeds.map(({ shape }) => shape.join('x')).join(' ');
}
