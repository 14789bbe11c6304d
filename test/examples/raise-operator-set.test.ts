// The graphs of examples/ocr in a newer operator set: bit for bit what the published ones compute.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { expect, test } from 'vitest';
import { modelsFolder } from '../../examples/ocr-line/assemble.mjs';
import { raiseOperatorSet } from '../../examples/ocr-line/raise-operator-set.mjs';
import { temporaryFolders } from '../support/temporary-folder.js';

const folder = temporaryFolders('raise-operator-set');
const signal = new AbortController().signal;
const published = (file: string): Buffer => readFileSync(join(modelsFolder(), file));

async function run(bytes: Uint8Array, x: NamedTensor): Promise<readonly NamedTensor[]> {
  const path = join(folder(), 'model.onnx');
  writeFileSync(path, bytes);
  const session = await createCapiEngine().load({ path, providers: ['cpu'], intraOpThreads: 1 }, signal);
  const outputs = await session.run([x], [], signal);
  await session.close();
  return outputs;
}

test.each([
  ['ch_PP-OCRv4_rec_infer.onnx', [2, 3, 48, 320]],
  ['ch_ppocr_mobile_v2.0_cls_infer.onnx', [2, 3, 48, 192]],
])('%s computes the very same in operator set 11, where no Clip has attributes', async (file, shape) => {
  const raised = raiseOperatorSet(published(file));
  const { opsetImport, graph } = decodeModel(raised);
  expect(opsetImport.map(({ version }) => version)).toEqual([11]);
  const clips = graph?.node.filter(({ opType }) => opType === 'Clip') ?? [];
  expect(clips.length).toBeGreaterThan(10);
  for (const { input, attribute } of clips) expect([input.length, attribute.length]).toEqual([3, 0]);
  const random = seededRandom(7);
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 2 * random.next() - 1);
  const x = tensor('x', 'FP32', shape, new Uint8Array(values.buffer));
  const [before, after] = [await run(published(file), x), await run(raised, x)];
  expect(after.map(({ name, shape }) => [name, shape])).toEqual(before.map(({ name, shape }) => [name, shape]));
  before.forEach(({ data }, at) => expect(Buffer.compare(data, after[at]!.data)).toBe(0));
});

test('a graph that needs nothing is left as it is', () => {
  const bytes = published('ch_PP-OCRv4_det_infer.onnx');
  expect(raiseOperatorSet(bytes)).toBe(bytes);
});
