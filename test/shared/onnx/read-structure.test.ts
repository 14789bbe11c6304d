import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { inspectModel } from '@tidegate/shared/onnx/inspect-model.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { readModelStructure } from '@tidegate/shared/onnx/read-structure.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { modelsFolder } from '../../../examples/ocr-line/assemble.mjs';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { writeWeightyModel } from '../../support/weighty-model.js';

const newFolder = temporaryFolders('read-structure');
/** What is left of a model when large raw data are cut. */
const withoutLargeData = (model: ModelProto): ModelProto => ({
  ...model,
  graph: {
    ...model.graph!,
    initializer: model.graph!.initializer.map((tensor) => {
      const { rawData, ...rest } = tensor;
      return rawData === undefined || rawData.byteLength >= 4096 ? rest : tensor;
    }),
  },
});

describe('the structure of a model', () => {
  let weighty: string;
  beforeAll(() => writeWeightyModel((weighty = join(newFolder(), 'weighty.onnx'))));

  it('is the whole model but for the raw data of large initializers', async () => {
    const full = decodeModel(await fs.readFile(weighty));
    const structure = await readModelStructure(weighty);
    expect(structure).toEqual(withoutLargeData(full));
    expect(structure.graph!.initializer.filter(({ rawData }) => rawData !== undefined).length).toBeGreaterThan(0);
    expect(inspectModel(structure)).toEqual(inspectModel(full));
  });

  it.each(['ch_PP-OCRv4_rec_infer.onnx', 'ch_PP-OCRv4_det_infer.onnx'])('says the same of %s', async (name) => {
    const path = join(modelsFolder(), name);
    expect(inspectModel(await readModelStructure(path))).toEqual(inspectModel(decodeModel(await fs.readFile(path))));
  });

  it('keeps tensors of all sizes apart', async () => {
    const sizes = [0, 1, 4095, 4096, 70_000, 1 << 20, 5, 200_000, 4100, 4097];
    const tensors = sizes.map((size, i) => makeTensor(`w${i}`, 2, [size], new Uint8Array(size).fill(i)));
    const value = (name: string): ReturnType<typeof makeValue> => makeValue(name, 2, [1]);
    const graph = makeGraph([makeNode('Identity', ['w1'], ['y'])], [], [value('y')], tensors);
    const path = join(newFolder(), 'tensors.onnx');
    await fs.writeFile(path, encodeModel(makeModel(graph)));
    expect(await readModelStructure(path)).toEqual(withoutLargeData(decodeModel(await fs.readFile(path))));
  });

  it.each([
    ['a file that is cut', (bytes: Buffer) => bytes.subarray(0, bytes.byteLength - 10_000)],
    ['bytes that are no model', (bytes: Buffer) => Buffer.alloc(bytes.byteLength, 0xff)],
    ['zeros', (bytes: Buffer) => Buffer.alloc(bytes.byteLength)],
    ['bytes behind the end', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(100, 0x0f)])],
  ])('is refused for %s with the words for the whole file', async (_name, harm) => {
    const bytes = harm(await fs.readFile(weighty));
    const path = join(newFolder(), 'broken.onnx');
    await fs.writeFile(path, bytes);
    let message = '';
    try {
      decodeModel(bytes);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).not.toBe('');
    await expect(readModelStructure(path)).rejects.toThrow(message);
  });
});
