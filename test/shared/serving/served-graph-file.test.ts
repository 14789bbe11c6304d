import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { graphTraits, inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-graph-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function graphOf(...operators: [string, string[]][]): Promise<string> {
  const nodes = operators.map(([operator, inputs], i) => makeNode(operator, inputs, [`v${i}`]));
  const x = makeValue('x', 1, ['n', 3]);
  const path = join(folder, `${operators.map(([operator]) => operator).join('-')}-${Math.random()}.onnx`);
  const model = makeModel(makeGraph(nodes, [x], [makeValue(`v${nodes.length - 1}`, 1, ['n', 3])]));
  await writeFile(path, Buffer.concat(encodeModel(model)));
  return path;
}

describe('what a graph does with chance', () => {
  it.each([
    [[['Relu', ['x']]], true],
    [[['RandomNormalLike', ['x']]], false],
    [
      [
        ['Relu', ['x']],
        ['Bernoulli', ['v0']],
      ],
      false,
    ],
    [[['Dropout', ['x']]], true],
    [[['Dropout', ['x', 'ratio', 'training']]], false],
  ] as [[string, string[]][], boolean][])('%j: %s', async (operators, expected) => {
    expect((await graphTraits(await graphOf(...operators))).deterministic).toBe(expected);
  });
});

it.each([
  ['Relu', false],
  ['Loop', true],
  ['BeamSearch', true],
])('%s takes as long as its data make it: %s', async (operator, expected) => {
  expect((await graphTraits(await graphOf([operator, ['x']]))).timeVaries).toBe(expected);
});

describe('what a graph does with rows', () => {
  it.each([
    [['Relu', ['x']], true],
    [['DynamicQuantizeLinear', ['x']], false],
    [['DynamicQuantizeMatMul', ['x', 'w', 's']], false],
  ] as [[string, string[]], boolean][])('%j may batch: %s', async (operator, expected) => {
    expect((await graphTraits(await graphOf(operator))).rowsMayBatch).toBe(expected);
  });
});

it('counts the nodes of a graph, without constants', async () => {
  expect((await graphTraits(await graphOf(['Constant', []], ['Relu', ['x']], ['Add', ['v1', 'v0']]))).nodes).toBe(2);
});

describe('inspectGraphFile', () => {
  it('reads names, datatypes and shapes', async () => {
    expect(await inspectGraphFile(await graphOf(['Relu', ['x']]))).toEqual({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 3] }],
      outputs: [{ name: 'v0', datatype: 'FP32', shape: [-1, 3] }],
      externalData: [],
    });
  });

  it('refuses what is no graph, naming the file', async () => {
    const path = join(folder, 'broken.onnx');
    await writeFile(path, 'this is no protobuf');
    const error = await inspectGraphFile(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(PackageError);
    expect((error as Error).message).toContain('broken.onnx');
  });
});
