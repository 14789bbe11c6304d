// What a value is while a pipeline runs: a tensor, or a list of them. Of a list that a branch left items out of, those are missing.
import type { PlannedNode } from '../package/dataflow.js';
import type { Tensor } from '../tensor/tensor.js';

/** Inside the pipeline a value may be a list. Its items are made one after another, and differ in shape. */
export type Value = Tensor | readonly (Tensor | undefined)[];
/** What a node made, by value name. */
export type Made = Map<string, Value>;

export function isList(value: Value): value is readonly (Tensor | undefined)[] {
  return Array.isArray(value);
}

/** Items of the lists among the values; undefined where there is none. They are equally many: their origin is one. */
export function itemCount(values: readonly Value[]): number | undefined {
  return values.find(isList)?.length;
}

/** What stands for item `at`: of a list its item, of any other value the value. */
export function itemOf(value: Value, at: number): Tensor {
  const item = isList(value) ? value[at] : value;
  if (item === undefined) throw new Error(`a list has no item ${at}`);
  return item;
}

export function tensorsOf(node: PlannedNode, values: readonly Value[]): Tensor[] {
  return values.map((value) => {
    if (isList(value)) throw new Error(`${node.title} was fed a list`);
    return value;
  });
}

export function named(node: PlannedNode, made: readonly Tensor[]): Made {
  return new Map(node.outputs.flatMap(({ value }, at) => (made[at] === undefined ? [] : [[value, made[at]] as const])));
}
