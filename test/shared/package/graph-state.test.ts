import { describe, expect, it } from 'vitest';
import { carriedState, hasState } from '@tidegate/shared/package/graph-state.js';
import { modelYamlSchema, type ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';

const signature = {
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [-1] },
    { name: 'h', datatype: 'FP32', shape: [2, -1] },
    { name: 'n', datatype: 'INT64', shape: [1] },
    { name: 'words', datatype: 'BYTES', shape: [1] },
  ],
  outputs: [
    { name: 'y', datatype: 'FP32', shape: [-1] },
    { name: 'h_next', datatype: 'FP32', shape: [2, -1] },
    { name: 'n_next', datatype: 'INT64', shape: [1] },
    { name: 'words_next', datatype: 'BYTES', shape: [1] },
  ],
} as const;
const yamlOf = (state: readonly object[] | undefined): ModelYaml =>
  modelYamlSchema.parse({
    name: 'm',
    licence: 'Apache-2.0',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1] }],
    pipeline: [{ graph: 'm.onnx', ...(state === undefined ? {} : { state }) }],
  });
const H = { input: 'h', output: 'h_next', shape: [2, 1] };

describe('the state of a graph', () => {
  it('begins with zeros or with what model.yaml says', () => {
    const yaml = yamlOf([
      { ...H, initial: [1, 2] },
      { input: 'n', output: 'n_next' },
    ]);
    expect(hasState(yaml)).toBe(true);
    const { initial, carried } = carriedState(yaml, 'm.onnx', signature)!;
    expect(carried).toEqual(
      new Map([
        ['h_next', 'h'],
        ['n_next', 'n'],
      ]),
    );
    expect(initial).toMatchObject([
      { name: 'h', datatype: 'FP32', shape: [2, 1] },
      { name: 'n', datatype: 'INT64', shape: [1], data: new Uint8Array(8) },
    ]);
    expect([...float32Of(initial[0]!)]).toEqual([1, 2]);
  });

  it('is none where nothing is declared', () => {
    expect(hasState(yamlOf(undefined))).toBe(false);
    expect(carriedState(yamlOf(undefined), 'm.onnx', signature)).toBeUndefined();
  });

  it.each([
    [{ ...H, input: 'z' }, "pipeline.0.state.0.input: the graph has no input 'z'"],
    [{ ...H, output: 'z' }, "pipeline.0.state.0.output: the graph has no output 'z'"],
    [{ ...H, output: 'n_next' }, "pipeline.0.state.0.output: 'n_next' is INT64, but 'h' takes FP32"],
    [{ input: 'h', output: 'h_next' }, "pipeline.0.state.0.shape: is missing: the graph leaves the shape of 'h' open"],
    [{ ...H, shape: [3, 1] }, "pipeline.0.state.0.shape: [3,1] is none that 'h' takes ([2,-1])"],
    [{ ...H, shape: [2, 2 ** 30] }, 'pipeline.0.state.0.shape: takes 8589934592 bytes'],
    [{ ...H, initial: [1] }, 'pipeline.0.state.0.initial'],
    [{ input: 'words', output: 'words_next' }, "pipeline.0.state.0.input: 'words' is BYTES of [1]: no state"],
  ])('%j is refused by name', (state, message) => {
    expect(() => carriedState(yamlOf([state]), 'm.onnx', signature)).toThrow(message);
  });
});
