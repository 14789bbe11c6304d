// A weight of an odd size shifts all that lie behind it: the engine's kernels would end the process over them.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { alignWeights } from '@tidegate/shared/runtime/executor/align-weights.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const FLOAT = 1;
const WIDTH = 300;
const newFolder = temporaryFolders('align-weights');
const never = new AbortController().signal;

/** Four layers, each with a bias of 1,200 bytes behind its weights. */
function layers(): Uint8Array {
  const wave = (count: number, by: number): Uint8Array =>
    bytesOf(Float32Array.from({ length: count }, (_, i) => Math.sin(i * by) / WIDTH));
  const indices = [0, 1, 2, 3];
  const graph = makeGraph(
    indices.flatMap((i) => [
      makeNode('MatMul', [`x${i}`, `w${i}`], [`m${i}`]),
      makeNode('Add', [`m${i}`, `b${i}`], [`a${i}`]),
      makeNode('Sin', [`a${i}`], [`x${i + 1}`]),
    ]),
    [makeValue('x0', FLOAT, ['n', WIDTH])],
    [makeValue('x4', FLOAT, ['n', WIDTH])],
    indices.flatMap((i) => [
      makeTensor(`w${i}`, FLOAT, [WIDTH, WIDTH], wave(WIDTH * WIDTH, i + 1)),
      makeTensor(`b${i}`, FLOAT, [WIDTH], wave(WIDTH, i + 7)),
    ]),
  );
  return Buffer.concat(encodeModel(makeModel(graph, { '': 17 })));
}

const initializersOf = async (folder: string): Promise<readonly TensorProto[]> =>
  decodeModel(await fs.readFile(join(folder, 'model.onnx'))).graph!.initializer;

/** Of each weight, and of each form in which a kernel wants it: where it lies and what is there. */
async function contents(folder: string): Promise<{ offset: number; bytes: string }[]> {
  const weights = await fs.readFile(join(folder, 'weights.bin'));
  const at = (offset: number, length: number) => ({
    offset,
    bytes: weights.subarray(offset, offset + length).toString('base64'),
  });
  return (await initializersOf(folder)).flatMap(({ externalData }) => {
    const entry = (key: string): string => externalData.find((one) => one.key === key)?.value ?? '';
    const places = [...entry('prepacked_0').matchAll(/\|(\d+);(\d+);/g)].map((found) => at(+found[1]!, +found[2]!));
    return externalData.length === 0 ? [] : [at(+entry('offset'), +entry('length')), ...places];
  });
}

describe('when a weight of an odd size lies before others', () => {
  it('moves all to multiples of 64 bytes, changes none of them, and the engine answers from them as before', async () => {
    const folder = newFolder();
    const path = join(folder, 'given.onnx');
    await fs.writeFile(path, layers());
    const saved = join(folder, 'saved');
    await fs.mkdir(saved);
    const engine = createCapiEngine();
    const options = { path, providers: ['cpu'], intraOpThreads: 1 } as const;
    await (await engine.load({ ...options, saveTo: saved }, never)).close();
    const before = await contents(saved);
    expect(before.length).toBeGreaterThan(8); // weights, biases, and what was made of weights
    expect(before.some(({ offset }) => offset % 64 !== 0)).toBe(true);

    await alignWeights(saved);
    const after = await contents(saved);
    expect(after.map(({ bytes }) => bytes)).toEqual(before.map(({ bytes }) => bytes));
    expect(after.filter(({ offset }) => offset % 64 !== 0)).toEqual([]);
    expect((await fs.readdir(saved)).sort()).toEqual(['model.onnx', 'weights.bin']);

    const feeds = [tensor('x0', 'FP32', [2, WIDTH], bytesOf(Float32Array.from({ length: 2 * WIDTH }, (_, i) => i)))];
    const answers = [];
    for (const more of [{}, { path: join(saved, 'model.onnx'), compiled: true }]) {
      const session = await engine.load({ ...options, ...more }, never);
      answers.push(Buffer.from((await session.run(feeds, [], never))[0]!.data));
      await session.close();
    }
    expect(answers[1]!.equals(answers[0]!)).toBe(true);
    await engine.close();
  });
});

describe('when the graph is not as the engine writes it', () => {
  it.each([
    ['a weight in another file', { key: 'location', value: '../secrets' }],
    ['a length that is no number', { key: 'length', value: 'all' }],
    ['a rearranged weight without a place', { key: 'prepacked_0', value: 'MatMul+1|here' }],
  ])('refuses %s', async (_name, wrong) => {
    const folder = newFolder();
    const entries = [
      { key: 'location', value: 'weights.bin' },
      { key: 'offset', value: '4' },
      { key: 'length', value: '8' },
    ].filter(({ key }) => key !== wrong.key);
    const weight = makeTensor('w', FLOAT, [2], new Uint8Array(8));
    const graph = makeGraph([], [], [], [{ ...weight, dataLocation: 1, externalData: [...entries, wrong] }]);
    await fs.writeFile(join(folder, 'model.onnx'), encodeModel(makeModel(graph, { '': 17 })));
    await fs.writeFile(join(folder, 'weights.bin'), new Uint8Array(12));
    await expect(alignWeights(folder)).rejects.toThrow();
    expect(await fs.readdir(folder)).toHaveLength(2);
  });
});
