import { expect, it } from 'vitest';
import { inferShapes } from '@tidegate/cloud-hub/training/gradients/infer-shapes.js';
import { makeGraph, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { GRADIENT_CASES, graphOfCases, sizeOf } from './reference/gradient-cases.js';

it('says of every operator what the engine makes of it, or nothing', () => {
  const { model } = graphOfCases(GRADIENT_CASES);
  const shapes = inferShapes(model.graph!);
  const wrong = GRADIENT_CASES.filter((c, k) => {
    const shape = shapes.get(`c${k}_y`);
    const agrees = shape?.length === c.y.length && shape.every((d, i) => d === '' || d === c.y[i]);
    return shape !== undefined && !agrees;
  });
  expect(wrong.map(({ title }) => title)).toEqual([]);
  const known = GRADIENT_CASES.filter((_, k) => shapes.has(`c${k}_y`));
  expect(known.length).toBeGreaterThan(GRADIENT_CASES.length / 2);
});

it('follows a dynamic batch by its name through a network', () => {
  const zeros = (name: string, dims: number[]) => makeTensor(name, 1, dims, new Uint8Array(4 * sizeOf(dims)));
  const pool = { kernel_shape: [2n, 2n], strides: [2n, 2n] };
  const graph = makeGraph(
    [
      makeNode('Conv', ['x', 'w'], ['a'], { attributes: { pads: [2n, 2n, 2n, 2n] } }),
      makeNode('Relu', ['a'], ['b']),
      makeNode('MaxPool', ['b'], ['c'], { attributes: pool }),
      makeNode('Reshape', ['c', 'flat'], ['d']),
      makeNode('Gemm', ['d', 'fc', 'bias'], ['e'], { attributes: { transB: 1n } }),
      makeNode('Add', ['e', 'bias'], ['f']),
      makeNode('Transpose', ['f'], ['g']),
    ],
    [makeValue('x', 1, ['batch', 1, 28, 28])],
    [makeValue('g', 1, [10, 'batch'])],
    [
      zeros('w', [6, 1, 5, 5]),
      zeros('fc', [10, 1176]),
      zeros('bias', [10]),
      makeTensor('flat', 7, [2], bytesOf(BigInt64Array.of(-1n, 1176n))),
    ],
  );
  const shapes = inferShapes(graph);
  expect(shapes.get('a')).toEqual(['batch', 6, 28, 28]);
  expect(shapes.get('c')).toEqual(['batch', 6, 14, 14]);
  expect(shapes.get('d')).toEqual(['batch', 1176]);
  expect(shapes.get('f')).toEqual(['batch', 10]);
  expect(shapes.get('g')).toEqual([10, 'batch']);
});

it('does not guess where a size is dynamic', () => {
  const graph = makeGraph(
    [
      makeNode('AveragePool', ['x'], ['pooled'], { attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] } }),
      makeNode('Flatten', ['x'], ['flat']),
      makeNode('Mul', ['x', 'y'], ['product']),
      makeNode('TopK', ['x', 'k'], ['best', 'places']),
      makeNode('Flatten', ['open'], ['minus']),
    ],
    [
      makeValue('x', 1, ['n', 3, 'h', 'w']),
      makeValue('y', 1, ['m', 1, 1, 5]),
      makeValue('k', 7, [1]),
      makeValue('open', 1, [-1, 4]), // as some exporters write a dynamic size
    ],
    [],
    [],
  );
  const shapes = inferShapes(graph);
  expect(shapes.get('minus')).toEqual(['', 4]);
  expect(shapes.get('pooled')).toEqual(['n', 3, '', '']);
  expect(shapes.get('flat')).toEqual(['n', '']);
  expect(shapes.get('product')).toEqual(['', 3, 'h', 5]);
  expect(shapes.get('best')).toBeUndefined();
});
