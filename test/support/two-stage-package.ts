// A package of two graphs: `front.onnx` makes 16 features of 4,096 numbers, `back.onnx` scores of them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const [FLOAT, WIDTH, FEATURES] = [1, 4096, 16];

/** Numbers between -1 and 1, the same for the same seed. */
function numbers(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function writeGraph(path: string, [from, rows]: [string, number], [to, columns]: [string, number]): void {
  const weights = makeTensor('w', FLOAT, [rows, columns], bytesOf(numbers(rows * columns, rows)));
  const nodes = [makeNode('MatMul', [from, 'w'], ['sums']), makeNode('Tanh', ['sums'], [to])];
  const ends = [makeValue(from, FLOAT, ['n', rows]), makeValue(to, FLOAT, ['n', columns])] as const;
  const model = makeModel(makeGraph(nodes, [ends[0]], [ends[1]], [weights]), { '': 17 });
  writeFileSync(path, Buffer.concat([...encodeModel(model)]));
}

/** Writes the package into `folder`; `more` are further lines of model.yaml. Returns `folder`. */
export function writeTwoStagePackage(folder: string, name: string, more = ''): string {
  mkdirSync(folder, { recursive: true });
  writeGraph(join(folder, 'front.onnx'), ['x', WIDTH], ['features', FEATURES]);
  writeGraph(join(folder, 'back.onnx'), ['features', FEATURES], ['scores', 10]);
  writeFileSync(
    join(folder, 'model.yaml'),
    `name: ${name}
licence: Apache-2.0
inputs: [{ name: x, datatype: FP32, shape: [-1, ${WIDTH}] }]
outputs: [{ name: scores, datatype: FP32, shape: [-1, 10] }]
pipeline: [{ graph: front.onnx }, { graph: back.onnx }]
${more}`,
  );
  return folder;
}

export function twoStageInput(seed: number): NamedTensor[] {
  return [tensor('x', 'FP32', [1, WIDTH], bytesOf(numbers(WIDTH, seed)))];
}
