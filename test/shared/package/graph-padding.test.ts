import { describe, expect, it } from 'vitest';
import { paddingRule } from '@tidegate/shared/package/graph-padding.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';

const signature = {
  inputs: [
    { name: 'ids', datatype: 'INT64', shape: [-1, -1] },
    { name: 'mask', datatype: 'BOOL', shape: [-1, -1] },
    { name: 'words', datatype: 'BYTES', shape: [-1, -1] },
  ],
  outputs: [
    { name: 'hidden', datatype: 'FP32', shape: [-1, -1, 8] },
    { name: 'logits', datatype: 'FP32', shape: [-1, 3] },
  ],
} as const;
type Signature = Parameters<typeof paddingRule>[2];
const node = (ragged: object | undefined, more: object = {}): object => ({ graph: 'a.onnx', ragged, ...more });
const rule = (nodes: readonly object[], declared: Signature = signature) => {
  const ends = { inputs: [{ name: 'ids', datatype: 'INT64', shape: [-1, -1] }], outputs: [signature.outputs[1]] };
  const yaml = modelYamlSchema.parse({ name: 'm', licence: 'MIT', ...ends, pipeline: nodes });
  return paddingRule(yaml, 'a.onnx', declared);
};
const ids = { name: 'ids', axis: 1 };

describe('paddingRule', () => {
  it('holds the bytes that fill each input up, and defaults', () => {
    const mask = { name: 'mask', axis: 1 };
    expect(rule([node({ inputs: [{ ...ids, value: 1 }, mask], outputs: [{ name: 'hidden', axis: 1 }] })])).toEqual({
      field: 'pipeline.0.ragged',
      inputs: [
        { ...ids, element: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) },
        { ...mask, element: Uint8Array.of(0) },
      ],
      outputs: [{ name: 'hidden', axis: 1 }],
      tolerance: 0.001,
      maxWaste: 0.25,
    });
    expect(rule([node(undefined)])).toBeUndefined();
    expect(rule([{ graph: 'b.onnx', ragged: { inputs: [ids] } }])).toBeUndefined();
  });

  it.each([
    [{ inputs: [{ name: 'id', axis: 1 }] }, "pipeline.0.ragged.inputs.0.name: the graph has none of that name ('id')"],
    [{ inputs: [{ ...ids, axis: 2 }] }, "pipeline.0.ragged.inputs.0.axis: dimension 2 of 'ids' is not free: [-1, -1]"],
    [{ inputs: [{ ...ids, value: 0.5 }] }, 'pipeline.0.ragged.inputs.0.value: '],
    [{ inputs: [{ name: 'words', axis: 1 }] }, "pipeline.0.ragged.inputs.0.name: 'words' is BYTES"],
    [
      { inputs: [ids], outputs: [{ name: 'logits', axis: 1 }] },
      "pipeline.0.ragged.outputs.0.axis: dimension 1 of 'logits' is not free: [-1, 3]",
    ],
  ])('names the field that does not fit the graph: %j', (ragged, message) => {
    expect(() => rule([node(ragged)])).toThrow(message);
  });

  it('needs free rows, one place in the pipeline, and no state', () => {
    const fixed = { ...signature, outputs: [{ name: 'logits', datatype: 'FP32', shape: [1, 3] }] } as const;
    expect(() => rule([node({ inputs: [ids] })], fixed)).toThrow("'logits' is [1, 3]: without free rows");
    expect(() => rule([node({ inputs: [ids] }), node(undefined)])).toThrow('stands in the pipeline 2 times');
    const state = [{ input: 'ids', output: 'hidden' }];
    expect(() => rule([node({ inputs: [ids] }, { state })])).toThrow('carries state');
  });
});
