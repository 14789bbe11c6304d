import { describe, expect, it } from 'vitest';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import { estimatedBytes, memoryBudget } from '@tidegate/shared/residency/memory-budget.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';

const MIB = 2 ** 20;

describe('memoryBudget', () => {
  it('is what was asked for, but never what the cgroup would kill for', () => {
    expect(memoryBudget(512 * MIB, undefined)).toBe(512 * MIB);
    expect(memoryBudget(512 * MIB, 1024 * MIB)).toBe(512 * MIB);
    expect(memoryBudget(1024 * MIB, 500 * MIB)).toBe(450 * MIB);
  });

  it('is the share of the cgroup where nothing was asked for, and none where nobody sets any', () => {
    expect(memoryBudget(undefined, 100 * MIB)).toBe(90 * MIB);
    expect(memoryBudget(undefined, undefined)).toBeUndefined();
    expect(memoryBudget('none', 100 * MIB)).toBeUndefined();
  });
});

it('expects an executor for all graphs but those with state, and more than the files', () => {
  const yaml = (graphs: readonly string[]): ModelYaml =>
    readModelYaml(`name: m
licence: MIT
pipeline: [${graphs.map((graph, i) => `{ graph: ${graph}, inputs: { x: x }, outputs: { y: y${i} } }`).join(', ')}]
inputs: [{ name: x, datatype: FP32, shape: [1] }]
outputs: [{ name: y0, datatype: FP32, shape: [1] }]
`);
  expect(estimatedBytes(yaml(['a.onnx']), [])).toBe(40 * MIB);
  expect(estimatedBytes(yaml(['a.onnx', 'b.onnx', 'a.onnx']), [{ sizeBytes: 60 * MIB }, { sizeBytes: 40 * MIB }])).toBe(
    165 * MIB,
  );
  const state = (graph: string, i: number): object => ({
    ...{ graph, inputs: { x: 'x' }, outputs: { y: `y${i}` } },
    ...(i < 2 ? { state: [{ input: 's', output: 't' }] } : {}),
  });
  const pipeline = ['vad.onnx', 'other.onnx', 'plain.onnx'].map(state) as unknown as ModelYaml['pipeline'];
  expect(estimatedBytes({ pipeline }, [])).toBe(120 * MIB);
});
