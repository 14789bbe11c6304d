import { describe, expect, it } from 'vitest';
import { deriveModelYaml, modelNameFrom } from '@tidegate/shared/package/derive-model-yaml.js';
import { initModelYaml } from '@tidegate/shared/package/init-model-yaml.js';
import type { GraphSignature } from '@tidegate/shared/package/model-package.js';
import { readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';

const signature: GraphSignature = {
  inputs: [
    { name: 'input: ids', datatype: 'INT64', shape: [-1, -1] },
    { name: 'x', datatype: 'FP32', shape: [-1, 3, 48, -1] },
  ],
  outputs: [{ name: "soft'max#1", datatype: 'FP32', shape: [-1, 10] }],
};

describe('initModelYaml', () => {
  it('writes a text that reads back as what was derived', () => {
    const text = initModelYaml('my-net', 'My: net.onnx', signature);
    expect(readModelYaml(text)).toEqual(deriveModelYaml('my-net', 'My: net.onnx', signature));
  });

  it('refuses a graph that model.yaml can not describe', () => {
    expect(() => initModelYaml('net', 'net.onnx', { ...signature, inputs: [] })).toThrow(/net\.onnx: inputs: /);
  });
});

describe('modelNameFrom', () => {
  it.each([
    ['PP-OCRv4 rec.onnx', 'pp-ocrv4-rec'],
    ['__weird__.ONNX', 'weird__'],
    ['日本.onnx', 'model'],
    [`${'x'.repeat(100)}.onnx`, 'x'.repeat(63)],
  ])('makes a legal name of %s', (file, name) => {
    expect(modelNameFrom(file)).toBe(name);
  });
});
