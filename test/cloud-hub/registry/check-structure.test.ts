// Graphs are judged by their structure before any engine sees them: real files, one thing wrong in each.
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkStructure } from '@tidegate/cloud-hub/registry/check-structure.js';
import { PackageRefused } from '@tidegate/cloud-hub/registry/package-ports.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { expect, test } from 'vitest';
import { yamlText } from '../../support/publishing.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('check-structure');
const GRAPH = fileURLToPath(new URL('../../../examples/bare/scale-and-add.onnx', import.meta.url));

async function check(
  files: Readonly<Record<string, Uint8Array | string>>,
  fields: Record<string, string> = {},
): Promise<void> {
  const root = folder();
  const shape = '[{ name: x, datatype: FP32, shape: [-1, 4] }]';
  const yaml = yamlText({ inputs: shape, outputs: shape.replace('x', 'y'), ...fields });
  for (const [path, data] of Object.entries({ 'model.yaml': yaml, ...files })) {
    await fs.mkdir(dirname(join(root, path)), { recursive: true });
    await fs.writeFile(join(root, path), data);
  }
  await checkStructure(await openPackage(root, { inspect: () => Promise.reject(new Error('not bare')) }));
}

/** The example with its first constant in another file. */
async function external(location: string, offset = '0'): Promise<Uint8Array> {
  const model = decodeModel(await fs.readFile(GRAPH));
  const [first, ...others] = model.graph?.initializer ?? [];
  const { rawData: _moved, ...rest } = { ...first!, floatData: new Float32Array(0) };
  const entries = { location, offset, length: '16' };
  const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
  const moved = { ...rest, dataLocation: 1, externalData };
  return Buffer.concat(
    encodeModel({ ...model, graph: { ...model.graph!, initializer: [moved, ...others] } } as ModelProto),
  );
}
const refusal = (work: Promise<void>) =>
  work.then(
    () => undefined,
    (cause: unknown) => cause as PackageRefused,
  );

test('a good graph passes, with its constants inside or beside it', async () => {
  await check({ 'm.onnx': await fs.readFile(GRAPH) });
  await check({ 'm.onnx': await external('weights.bin'), 'weights.bin': new Uint8Array(16) });
  await check(
    { 'deep/m.onnx': await external('weights.bin', '4'), 'deep/weights.bin': new Uint8Array(20) },
    { pipeline: '[{ graph: deep/m.onnx }]' },
  );
});

test.each([
  ['a path that leaves the package', '../../etc/passwd', '0', /no path inside the package/],
  ['a file that the package lacks', 'other.bin', '0', /other\.bin is no file of the package/],
  ['a file that is too short', 'weights.bin', '8', /16 bytes, 24 are needed/],
])('external data with %s is refused', async (_what, location, offset, message) => {
  const found = await refusal(check({ 'm.onnx': await external(location, offset), 'weights.bin': new Uint8Array(16) }));
  expect(found).toBeInstanceOf(PackageRefused);
  expect(found).toMatchObject({ field: 'm.onnx', message: expect.stringMatching(message) });
});

test('a graph that reads what nothing makes, and bytes that are none, name the file and the place', async () => {
  const model = decodeModel(await fs.readFile(GRAPH));
  const [node, ...others] = model.graph!.node;
  const graph = { ...model.graph!, node: [{ ...node!, input: ['ghost'] }, ...others] };
  const found = await refusal(check({ 'm.onnx': Buffer.concat(encodeModel({ ...model, graph })) }));
  expect(found?.message).toMatch(/m\.onnx: .*node\[0\].*ghost/);
  expect((await refusal(check({ 'm.onnx': 'text' })))?.message).toMatch(/^m\.onnx: /);
});

test('names that the graph doesn’t have are refused by the field of model.yaml', async () => {
  const graph = await fs.readFile(GRAPH);
  const found = await refusal(check({ 'm.onnx': graph }, { pipeline: '[{ graph: m.onnx, outputs: { z: y } }]' }));
  expect(found).toMatchObject({
    field: 'model.yaml#pipeline.0.outputs.z',
    message: expect.stringContaining('it has y'),
  });
});
