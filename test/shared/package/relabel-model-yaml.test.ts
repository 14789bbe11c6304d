import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';
import { relabelModelYaml } from '@tidegate/shared/package/relabel-model-yaml.js';
import { expect, test } from 'vitest';

const REST = `licence: MIT
inputs: [{ name: x, datatype: FP32, shape: [1] }] # one
outputs:
  - { name: y, datatype: FP32, shape: [1] }
pipeline: [{ graph: m.onnx }]
`;
const labelled = `# A model.\nname: tiny\nversion: '1.0' # its label\n${REST}`;
const unlabelled = `# A model.\nname: tiny # short\n${REST}`;

test.each([
  ['another label', labelled, '2.0', labelled.replace("'1.0'", "'2.0'")],
  ['no label any more', labelled, undefined, `# A model.\nname: tiny\n${REST}`],
  ['a first label', unlabelled, "it's", `# A model.\nname: tiny # short\nversion: 'it''s'\n${REST}`],
  ['the same label', labelled, '1.0', labelled],
  ['none as before', unlabelled, undefined, unlabelled],
  ['double quotes', labelled.replace("'1.0'", '"1.0"'), 'b', labelled.replace("'1.0'", "'b'")],
  ['the last line, without a line break', `${REST}name: tiny`, 'b', `${REST}name: tiny\nversion: 'b'\n`],
])('%s: the text changes there and nowhere else', (_what, before, label, after) => {
  expect(relabelModelYaml(before, label)).toBe(after);
});

test('a file in flow style is written anew and says the same', () => {
  const flow = `{ name: tiny, version: a, licence: MIT, inputs: [{ name: x, datatype: FP32, shape: [1] }],
  outputs: [{ name: y, datatype: FP32, shape: [1] }], pipeline: [{ graph: m.onnx }] }\n`;
  for (const label of ['b', undefined]) {
    const { version, ...rest } = readModelYaml(relabelModelYaml(flow, label));
    const { version: _, ...before } = readModelYaml(flow);
    expect(version).toBe(label);
    expect(rest).toEqual(before);
  }
});

test('a text that is no model.yaml is refused', () => {
  expect(() => relabelModelYaml('name: x', 'b')).toThrow(/is missing/);
});
