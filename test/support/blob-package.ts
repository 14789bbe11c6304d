// A package that finds bright rectangles in a picture: a detector without weights, so that it is published in a moment and what
// it finds is known.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';

const FLOAT = 1;

/** Writes the package `blobs` into `folder`; returns `folder`. */
export async function writeBlobPackage(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const mean = makeNode('ReduceMean', ['x'], ['bright'], { attributes: { axes: [1n], keepdims: 1n } });
  const map = makeValue('bright', FLOAT, ['n', 1, 'h', 'w']);
  const graph = makeGraph([mean], [makeValue('x', FLOAT, ['n', 3, 'h', 'w'])], [map]);
  await writeFile(join(folder, 'bright.onnx'), encodeModel(makeModel(graph, { '': 13 })));
  await writeFile(
    join(folder, 'model.yaml'),
    `name: blobs
licence: Apache-2.0
inputs: [{ name: picture, datatype: BYTES, shape: [1] }]
outputs: [{ name: boxes, datatype: FP32, shape: [-1, 4, 2] }, { name: scores, datatype: FP32, shape: [-1] }]
pipeline:
  - { step: decode-image, inputs: [picture], outputs: [pixels] }
  - { step: normalise, inputs: [pixels], outputs: [numbers] }
  - { graph: bright.onnx, inputs: { x: numbers }, outputs: { bright: map } }
  - { step: threshold-to-boxes, inputs: [map, pixels], outputs: [boxes, scores], with: { unclip: 0.1, dilate: false } }
`,
  );
  return folder;
}
