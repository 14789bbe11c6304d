import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildVariant } from '@tidegate/cloud-hub/optimizer/build-variant.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { floats } from './linear-fixture.js';

const newFolder = temporaryFolders('build-variant');
const never = new AbortController().signal;

function product(weights = floats('w', [64, 64], 1)): ModelProto {
  const [x, y] = [makeValue('x', 1, [1, 64]), makeValue('y', 1, [1, 64])];
  return makeModel(makeGraph([makeNode('MatMul', ['x', 'w'], ['y'])], [x], [y], [weights]));
}

/** A package of one graph whose weights lie in `graphs/weights.bin`, after 8 other bytes. */
async function packageWithExternalData(): Promise<ModelPackage> {
  const folder = newFolder();
  const { rawData = new Uint8Array(0), ...rest } = floats('w', [64, 64], 1);
  const externalData = [
    { key: 'location', value: 'weights.bin' },
    { key: 'offset', value: '8' },
  ];
  const yaml = {
    name: 'external',
    licence: 'Apache-2.0',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 64] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 64] }],
    pipeline: [{ graph: 'graphs/model.onnx' }],
  };
  await fs.mkdir(join(folder, 'graphs'));
  await fs.writeFile(join(folder, 'model.yaml'), JSON.stringify(yaml));
  await fs.writeFile(join(folder, 'notes.txt'), 'beside the graph');
  await fs.writeFile(join(folder, 'graphs/weights.bin'), Buffer.concat([Buffer.alloc(8), rawData]));
  const model = product({ ...rest, dataLocation: 1, externalData });
  await fs.writeFile(join(folder, 'graphs/model.onnx'), Buffer.concat(encodeModel(model)));
  return openPackage(folder, { inspect: inspectGraphFile });
}

describe('buildVariant', () => {
  it('takes external data into the graph, links the other files and leaves the package alone', async () => {
    const pack = await packageWithExternalData();
    const folder = join(newFolder(), 'int8-weights');
    expect(await buildVariant(pack, 'int8-weights', folder, never)).toEqual({ reason: undefined });
    const built = await openPackage(folder, { inspect: inspectGraphFile });
    expect(built.files.map(({ path }) => path)).toEqual(['graphs/model.onnx', 'model.yaml', 'notes.txt']);
    const model = decodeModel(await fs.readFile(join(folder, 'graphs/model.onnx')));
    expect(validateModel(model).externalFiles).toEqual([]);
    expect(model.graph?.node[0]?.opType).toBe('MatMulNBits');
    // The same weights as from a model that holds them itself.
    const inline = newFolder();
    await fs.writeFile(join(inline, 'model.onnx'), Buffer.concat(encodeModel(product())));
    const bare = await openPackage(join(inline, 'model.onnx'), { inspect: inspectGraphFile });
    await buildVariant(bare, 'int8-weights', join(inline, 'out'), never);
    const expected = decodeModel(await fs.readFile(join(inline, 'out/model.onnx')));
    expect(model.graph?.initializer).toEqual(expected.graph?.initializer);
    expect((await openPackage(pack.folder, { inspect: inspectGraphFile })).versionDigest).toBe(pack.versionDigest);
  });

  it('rejects with the reason of an aborted signal, and for a file that is no model', async () => {
    const pack = await packageWithExternalData();
    const reason = new Error('the hub is closing');
    await expect(buildVariant(pack, 'fp16-weights', join(newFolder(), 'a'), AbortSignal.abort(reason))).rejects.toBe(
      reason,
    );
    await fs.writeFile(join(pack.folder, 'graphs/model.onnx'), 'no model');
    await expect(buildVariant(pack, 'fp16-weights', join(newFolder(), 'b'), never)).rejects.toThrow('not an ONNX file');
  });
});
