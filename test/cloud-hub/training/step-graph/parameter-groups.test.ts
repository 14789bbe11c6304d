import { expect, it } from 'vitest';
import type { TrainedParameter } from '@tidegate/cloud-hub/training/step-graph/choose-parameters.js';
import { groupParameters, joined, parted } from '@tidegate/cloud-hub/training/step-graph/parameter-groups.js';
import { StepNodes } from '@tidegate/cloud-hub/training/step-graph/step-nodes.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';

function parameter(name: string, dims: readonly number[], more: Partial<TrainedParameter> = {}): TrainedParameter {
  const size = dims.reduce((a, b) => a * b, 1);
  return { name, tensor: makeTensor(name, 1, dims, new Uint8Array(4 * size)), rate: 1, decays: false, ...more };
}

it('updates small parameters of one kind as one vector, large ones alone', () => {
  const groups = groupParameters([
    parameter('conv', [4, 3, 3, 3], { decays: true }),
    parameter('bias', [4]),
    parameter('large', [128, 65], { decays: true }),
    parameter('scale', [4]),
    parameter('head', [2, 4], { decays: true, rate: 0.1 }),
    parameter('fc', [2, 4], { decays: true }),
  ]);
  expect(groups.map(({ members }) => members.map(({ name }) => name))).toEqual([
    ['conv', 'fc'],
    ['bias', 'scale'],
    ['large'],
    ['head'],
  ]);
  expect(groups.map(({ name, dims }) => [name, dims])).toEqual([
    ['step/group-0', [116]],
    ['step/group-1', [8]],
    ['large', [128, 65]],
    ['head', [2, 4]],
  ]);
  expect(groups.map(({ rate, decays }) => [rate, decays])).toEqual([
    [1, true],
    [1, false],
    [1, true],
    [0.1, true],
  ]);
});

it('makes no nodes for a parameter that stands alone', () => {
  const [group] = groupParameters([parameter('large', [128, 65])]);
  const n = new StepNodes();
  expect(joined(n, group!, (name) => `gradient of ${name}`)).toBe('gradient of large');
  expect(n.nodes).toEqual([]);
});

it('gives each member its own shape again', () => {
  const [group] = groupParameters([parameter('conv', [4, 3, 3, 3]), parameter('bias', [4])]);
  const n = new StepNodes();
  joined(n, group!, (name) => name);
  parted(n, group!, 'updated', (name) => `next ${name}`);
  expect(n.nodes.map(({ opType }) => opType)).toEqual(['Reshape', 'Concat', 'Split', 'Reshape']);
  expect(n.nodes[2]?.output[1]).toBe('next bias');
  expect(n.nodes[3]?.output).toEqual(['next conv']);
});
