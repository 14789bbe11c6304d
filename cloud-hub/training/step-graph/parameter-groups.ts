// What is updated as one vector. A step has an update of a dozen nodes for each weight; of a bias of 16 elements, starting those nodes
// is all the work. Small weights of the same rate and decay are therefore laid end to end, and updated as one; large ones alone, as
// laying them end to end would cost a copy of each. Elementwise updates give the same bits either way.
import { elementCount } from '@tidegate/shared/tensor/tensor.js';
import type { TrainedParameter } from './choose-parameters.js';
import type { StepNodes } from './step-nodes.js';

/** Copying as many elements takes about as long as a dozen nodes take to start. */
const SMALL_ELEMENTS_MAX = 8192;

export interface ParameterGroup {
  /** Names what the optimizer keeps for it. */
  readonly name: string;
  /** Of the updated value: the parameter's own, or one axis for all members. */
  readonly dims: readonly number[];
  readonly rate: number;
  readonly decays: boolean;
  readonly members: readonly TrainedParameter[];
}

/** In the order of their first members. */
export function groupParameters(parameters: readonly TrainedParameter[]): ParameterGroup[] {
  const byKind = new Map<string, TrainedParameter[]>();
  for (const parameter of parameters) {
    const isSmall = sizeOf(parameter) <= SMALL_ELEMENTS_MAX;
    const kind = isSmall ? `${parameter.rate} ${parameter.decays}` : `alone ${parameter.name}`;
    byKind.set(kind, [...(byKind.get(kind) ?? []), parameter]);
  }
  return [...byKind.values()].map((members, i) => {
    const [first] = members;
    if (first === undefined) throw new Error('a group without members');
    const { rate, decays } = first;
    if (members.length === 1) return { name: first.name, dims: first.tensor.dims, rate, decays, members };
    const size = members.reduce((sum, member) => sum + sizeOf(member), 0);
    return { name: `step/group-${i}`, dims: [size], rate, decays, members };
  });
}

/** The group's value, of each member's. */
export function joined(n: StepNodes, { members }: ParameterGroup, valueOf: (name: string) => string): string {
  const [first] = members;
  if (members.length === 1 && first !== undefined) return valueOf(first.name);
  const flat = members.map(({ name, tensor: { dims } }) =>
    dims.length === 1 ? valueOf(name) : n.op('Reshape', [valueOf(name), n.ints(-1)]),
  );
  return n.op('Concat', flat, { axis: 0n });
}

/** Each member's part of a group's value, under the name that `into` gives it. */
export function parted(n: StepNodes, { members }: ParameterGroup, value: string, into: (name: string) => string): void {
  const pieces = members.map(({ name, tensor: { dims } }) => (dims.length === 1 ? into(name) : n.fresh('part')));
  n.many('Split', [value, n.ints(...members.map(sizeOf))], { axis: 0n }, pieces);
  members.forEach(({ name, tensor: { dims } }, i) => {
    if (dims.length !== 1) n.op('Reshape', [pieces[i] ?? '', n.ints(...dims)], {}, into(name));
  });
}

function sizeOf({ tensor: { dims } }: TrainedParameter): number {
  return elementCount(dims) ?? 0;
}
