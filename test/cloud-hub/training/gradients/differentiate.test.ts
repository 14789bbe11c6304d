// Every gradient against finite differences. All cases stand in one graph, with parameters of their own, so that one run moves one
// element of every case: as many runs as the largest parameter has elements, not as all have together.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { differentiate, gradientName } from '@tidegate/cloud-hub/training/gradients/differentiate.js';
import { GradientError } from '@tidegate/cloud-hub/training/gradients/gradient-error.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto, NodeProto, TensorProto, ValueInfo } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const EPSILON = 5e-3;
/** Rounding of FP32 (1e-7 of values around 1) over two EPSILON, and the cubic term. */
const ERROR_MAX = 2e-3;

interface Case {
  readonly title: string;
  /** Shapes of the trained inputs x0, x1 ... */
  readonly x: readonly (readonly number[])[];
  readonly y: readonly number[];
  readonly op: string;
  readonly attributes?: NonNullable<NonNullable<Parameters<typeof makeNode>[3]>['attributes']>;
  readonly domain?: string;
  /** Inputs after x that are constants: INT64 vectors or FP32 tensors. */
  readonly rest?: readonly (
    readonly bigint[] | { readonly dims: readonly number[]; readonly data: readonly number[] } | null
  )[];
  /** Values between these for every element; distinct enough that no maximum is near a tie. */
  readonly range?: readonly [number, number];
  readonly outputs?: number;
}

const positive = [0.5, 1.5] as const;
const floats = (dims: readonly number[], ...data: number[]) => ({ dims, data });
const CASES: readonly Case[] = [
  {
    title: 'Add, broadcast',
    op: 'Add',
    x: [
      [2, 3, 4],
      [3, 1],
    ],
    y: [2, 3, 4],
  },
  { title: 'Sub, broadcast', op: 'Sub', x: [[4], [2, 3, 4]], y: [2, 3, 4] },
  {
    title: 'Mul, broadcast',
    op: 'Mul',
    x: [
      [2, 1, 4],
      [3, 1],
    ],
    y: [2, 3, 4],
  },
  {
    title: 'Div, broadcast',
    op: 'Div',
    x: [
      [2, 3],
      [1, 3],
    ],
    y: [2, 3],
    range: positive,
  },
  {
    title: 'MatMul, matrix',
    op: 'MatMul',
    x: [
      [2, 3, 4],
      [4, 5],
    ],
    y: [2, 3, 5],
  },
  {
    title: 'MatMul, batches broadcast',
    op: 'MatMul',
    x: [
      [2, 1, 3, 4],
      [3, 4, 2],
    ],
    y: [2, 3, 3, 2],
  },
  { title: 'Gemm', op: 'Gemm', x: [[3, 4], [4, 2], [2]], y: [3, 2] },
  {
    title: 'Gemm, A transposed',
    op: 'Gemm',
    x: [
      [4, 3],
      [4, 2],
      [3, 1],
    ],
    y: [3, 2],
    attributes: { transA: 1n, alpha: 0.5, beta: 2 },
  },
  {
    title: 'Gemm, B transposed',
    op: 'Gemm',
    x: [
      [3, 4],
      [2, 4],
    ],
    y: [3, 2],
    attributes: { transB: 1n },
  },
  {
    title: 'Gemm, both transposed',
    op: 'Gemm',
    x: [
      [4, 3],
      [2, 4],
    ],
    y: [3, 2],
    attributes: { transA: 1n, transB: 1n },
  },
  { title: 'Relu', op: 'Relu', x: [[3, 5]], y: [3, 5], range: [-1, 1.1] },
  { title: 'Sigmoid', op: 'Sigmoid', x: [[3, 5]], y: [3, 5] },
  { title: 'Tanh', op: 'Tanh', x: [[3, 5]], y: [3, 5] },
  { title: 'Gelu', op: 'Gelu', x: [[3, 5]], y: [3, 5] },
  { title: 'Gelu, tanh', op: 'Gelu', x: [[3, 5]], y: [3, 5], attributes: { approximate: 'tanh' } },
  { title: 'Gelu, com.microsoft', op: 'Gelu', domain: 'com.microsoft', x: [[3, 5]], y: [3, 5] },
  { title: 'Clip', op: 'Clip', x: [[3, 5]], y: [3, 5], rest: [floats([], -0.52), floats([], 0.41)] },
  { title: 'Clip, upper only', op: 'Clip', x: [[3, 5]], y: [3, 5], rest: [null, floats([], 0.41)] },
  {
    title: 'Conv',
    op: 'Conv',
    x: [[2, 3, 5, 5], [4, 3, 3, 3], [4]],
    y: [2, 4, 5, 5],
    attributes: { pads: [1n, 1n, 1n, 1n] },
  },
  {
    title: 'Conv, stride with a rest',
    op: 'Conv',
    x: [
      [1, 2, 6, 7],
      [3, 2, 3, 2],
    ],
    y: [1, 3, 3, 3],
    attributes: { strides: [2n, 3n], pads: [1n, 0n, 0n, 1n] },
  },
  {
    title: 'Conv, dilated',
    op: 'Conv',
    x: [
      [2, 2, 7, 7],
      [2, 2, 3, 3],
    ],
    y: [2, 2, 5, 5],
    attributes: { dilations: [2n, 2n], pads: [1n, 1n, 1n, 1n] },
  },
  {
    title: 'Conv, strided and dilated',
    op: 'Conv',
    x: [
      [1, 2, 8, 8],
      [2, 2, 2, 2],
    ],
    y: [1, 2, 3, 3],
    attributes: { dilations: [2n, 2n], strides: [2n, 2n] },
  },
  {
    title: 'Conv, groups',
    op: 'Conv',
    x: [[2, 4, 5, 5], [6, 2, 3, 3], [6]],
    y: [2, 6, 3, 3],
    attributes: { group: 2n, strides: [2n, 2n], pads: [1n, 1n, 1n, 1n] },
  },
  {
    title: 'Conv, depthwise',
    op: 'Conv',
    x: [
      [2, 3, 4, 4],
      [3, 1, 3, 3],
    ],
    y: [2, 3, 4, 4],
    attributes: { group: 3n, pads: [1n, 1n, 1n, 1n] },
  },
  {
    title: 'Conv, one axis',
    op: 'Conv',
    x: [
      [2, 3, 8],
      [2, 3, 3],
    ],
    y: [2, 2, 3],
    attributes: { strides: [2n] },
  },
  {
    title: 'MaxPool',
    op: 'MaxPool',
    x: [[2, 2, 4, 4]],
    y: [2, 2, 2, 2],
    attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] },
  },
  {
    title: 'MaxPool, overlapping',
    op: 'MaxPool',
    x: [[1, 2, 5, 5]],
    y: [1, 2, 3, 3],
    attributes: { kernel_shape: [3n, 3n], strides: [2n, 2n], pads: [1n, 1n, 1n, 1n] },
  },
  {
    title: 'AveragePool',
    op: 'AveragePool',
    x: [[2, 2, 5, 5]],
    y: [2, 2, 2, 2],
    attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] },
  },
  {
    title: 'AveragePool, padded',
    op: 'AveragePool',
    x: [[1, 2, 5, 5]],
    y: [1, 2, 3, 3],
    attributes: { kernel_shape: [3n, 3n], strides: [2n, 2n], pads: [1n, 1n, 1n, 1n] },
  },
  {
    title: 'AveragePool, padding counted',
    op: 'AveragePool',
    x: [[1, 2, 4, 4]],
    y: [1, 2, 4, 4],
    attributes: { kernel_shape: [3n, 3n], pads: [1n, 1n, 1n, 1n], count_include_pad: 1n },
  },
  { title: 'GlobalAveragePool', op: 'GlobalAveragePool', x: [[2, 3, 4, 4]], y: [2, 3, 1, 1] },
  {
    title: 'BatchNormalization, training',
    op: 'BatchNormalization',
    x: [[4, 3, 2, 2], [3], [3]],
    y: [4, 3, 2, 2],
    attributes: { training_mode: 1n, epsilon: 0.01 },
    rest: [floats([3], 0, 0, 0), floats([3], 1, 1, 1)],
    outputs: 3,
  },
  {
    title: 'BatchNormalization, frozen',
    op: 'BatchNormalization',
    x: [[4, 3, 2, 2], [3], [3]],
    y: [4, 3, 2, 2],
    rest: [floats([3], 0.1, -0.2, 0.3), floats([3], 1, 0.5, 2)],
  },
  {
    title: 'LayerNormalization',
    op: 'LayerNormalization',
    x: [[2, 3, 5], [5], [5]],
    y: [2, 3, 5],
    attributes: { epsilon: 0.01 },
  },
  {
    title: 'LayerNormalization, two axes',
    op: 'LayerNormalization',
    x: [
      [2, 3, 4],
      [3, 4],
      [3, 4],
    ],
    y: [2, 3, 4],
    attributes: { axis: 1n, epsilon: 0.01 },
  },
  { title: 'Reshape', op: 'Reshape', x: [[2, 6]], y: [3, 4], rest: [[3n, 4n]] },
  { title: 'Flatten', op: 'Flatten', x: [[2, 3, 2]], y: [2, 6] },
  { title: 'Transpose', op: 'Transpose', x: [[2, 3, 4]], y: [4, 2, 3], attributes: { perm: [2n, 0n, 1n] } },
  { title: 'Transpose, reversal', op: 'Transpose', x: [[2, 3, 4]], y: [4, 3, 2] },
  {
    title: 'Concat',
    op: 'Concat',
    x: [
      [2, 3],
      [2, 1],
      [2, 2],
    ],
    y: [2, 6],
    attributes: { axis: -1n },
  },
  { title: 'Slice, backwards by two', op: 'Slice', x: [[3, 6]], y: [3, 3], rest: [[5n], [-7n], [1n], [-2n]] },
  { title: 'Gather, repeated', op: 'Gather', x: [[2, 4]], y: [2, 3], attributes: { axis: 1n }, rest: [[3n, 0n, 3n]] },
  { title: 'ReduceMean', op: 'ReduceMean', x: [[2, 3, 4]], y: [3], attributes: { keepdims: 0n }, rest: [[0n, -1n]] },
  { title: 'ReduceMean, all', op: 'ReduceMean', x: [[2, 3]], y: [], attributes: { keepdims: 0n } },
  { title: 'ReduceSum', op: 'ReduceSum', x: [[2, 3, 4]], y: [2, 1, 4], rest: [[1n]] },
  { title: 'Softmax', op: 'Softmax', x: [[2, 3, 4]], y: [2, 3, 4], attributes: { axis: 1n } },
  { title: 'SoftmaxCrossEntropyLoss', op: 'SoftmaxCrossEntropyLoss', x: [[3, 4]], y: [], rest: [[2n, 0n, 3n]] },
  {
    title: 'SoftmaxCrossEntropyLoss, ignoring',
    op: 'SoftmaxCrossEntropyLoss',
    x: [[4, 4]],
    y: [],
    attributes: { ignore_index: -1n },
    rest: [[2n, -1n, 3n, 0n]],
  },
  {
    title: 'SoftmaxCrossEntropyLoss, weighted',
    op: 'SoftmaxCrossEntropyLoss',
    x: [[3, 3]],
    y: [],
    rest: [[2n, 0n, 2n], floats([3], 0.5, 1, 2)],
  },
  {
    title: 'SoftmaxCrossEntropyLoss, one by one',
    op: 'SoftmaxCrossEntropyLoss',
    x: [[3, 4]],
    y: [3],
    attributes: { reduction: 'none' },
    rest: [[2n, 0n, 3n]],
  },
];

/** Distinct values: a shuffled grid over the range, so that none sits within EPSILON of another or of zero. */
function values(count: number, [low, high]: readonly [number, number], seed: number): Float32Array {
  let state = seed * 7919 + 1;
  const grid = Array.from({ length: count }, (_, i) => low + ((i + 0.5) * (high - low)) / count);
  for (let i = count - 1; i > 0; i -= 1) {
    state = (state * 48271) % 2147483647;
    const j = state % (i + 1);
    [grid[i], grid[j]] = [grid[j]!, grid[i]!];
  }
  return Float32Array.from(grid);
}
const size = (dims: readonly number[]): number => dims.reduce((a, d) => a * d, 1);
const fp32 = (name: string, dims: readonly number[], data: Float32Array): TensorProto =>
  makeTensor(name, 1, dims, bytesOf(data));

interface Built {
  readonly model: ModelProto;
  readonly parameters: ReadonlyMap<string, { readonly dims: readonly number[]; readonly data: Float32Array }>;
  readonly weights: readonly Float32Array[];
}

function build(): Built {
  const nodes: NodeProto[] = [];
  const constants: TensorProto[] = [];
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const parameters = new Map<string, { dims: readonly number[]; data: Float32Array }>();
  const weights: Float32Array[] = [];
  CASES.forEach((c, k) => {
    const xs = c.x.map((dims, i) => {
      const name = `c${k}_x${i}`;
      inputs.push(makeValue(name, 1, dims));
      parameters.set(name, { dims, data: values(size(dims), c.range ?? [-1, 1], k * 10 + i) });
      return name;
    });
    const rest = (c.rest ?? []).map((r, i) => {
      if (r === null) return '';
      const name = `c${k}_r${i}`;
      constants.push(
        'dims' in r
          ? fp32(name, r.dims, Float32Array.from(r.data))
          : makeTensor(name, 7, [r.length], bytesOf(BigInt64Array.from(r))),
      );
      return name;
    });
    const more = Array.from({ length: (c.outputs ?? 1) - 1 }, (_, i) => `c${k}_more${i}`);
    const options = { ...(c.domain ? { domain: c.domain } : {}), attributes: c.attributes ?? {} };
    nodes.push(makeNode(c.op, [...xs, ...rest], [`c${k}_y`, ...more], options));
    const weight = values(size(c.y), [-1, 1.3], k + 500);
    weights.push(weight);
    constants.push(fp32(`c${k}_w`, c.y, weight));
    nodes.push(
      makeNode('Mul', [`c${k}_y`, `c${k}_w`], [`c${k}_yw`]),
      makeNode('ReduceSum', [`c${k}_yw`], [`c${k}_loss`], { attributes: { keepdims: 0n } }),
    );
    outputs.push(makeValue(`c${k}_y`, 1, c.y));
  });
  nodes.push(
    makeNode(
      'Sum',
      CASES.map((_, k) => `c${k}_loss`),
      ['total'],
    ),
  );
  return {
    model: makeModel(makeGraph(nodes, inputs, outputs, constants), { '': 20, 'com.microsoft': 1 }),
    parameters,
    weights,
  };
}

describe('differentiate', () => {
  const never = new AbortController().signal;
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gradients-'));
  });
  afterAll(async () => {
    await runtime.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('agrees with finite differences for every operator', async () => {
    const { model, parameters, weights } = build();
    const names = [...parameters.keys()];
    const differentiated = differentiate(model, { loss: 'total', parameters: names });
    validateModel(differentiated);
    const path = join(folder, 'all.onnx');
    await writeFile(path, Buffer.concat(encodeModel(differentiated)));
    const runner = await runtime.load({ label: 'gradients', path, providers: ['cpu'], intraOpThreads: 1 }, never);
    const feeds = (moved?: { input: number; at: number; by: number }): NamedTensor[] =>
      [...parameters].map(([name, { dims, data }]) => {
        const copy = data.slice();
        if (moved && name.endsWith(`_x${moved.input}`) && moved.at < copy.length) copy[moved.at]! += moved.by;
        return tensor(name, 'FP32', dims, bytesOf(copy));
      });
    const run = async (fed: NamedTensor[], outputs: string[]): Promise<Map<string, Float32Array>> => {
      const result = await runner.run(fed, outputs, never);
      return new Map(result.outputs.map((o) => [o.name, float32Of(o)]));
    };
    const analytic = await run(feeds(), names.map(gradientName));
    const ys = CASES.map((_, k) => `c${k}_y`);
    const errors = CASES.map(() => 0);
    for (const input of [0, 1, 2]) {
      const longest = Math.max(...CASES.map((c) => size(c.x[input] ?? [0])));
      for (let at = 0; at < longest; at += 1) {
        const [up, down] = [
          await run(feeds({ input, at, by: EPSILON }), ys),
          await run(feeds({ input, at, by: -EPSILON }), ys),
        ];
        CASES.forEach((c, k) => {
          if (at >= size(c.x[input] ?? [0])) return;
          const [high, low] = [up.get(`c${k}_y`)!, down.get(`c${k}_y`)!];
          const slope = weights[k]!.reduce((sum, w, i) => sum + w * (high[i]! - low[i]!), 0) / (2 * EPSILON);
          const error = Math.abs(slope - analytic.get(gradientName(`c${k}_x${input}`))![at]!);
          errors[k] = Math.max(errors[k]!, Number.isNaN(error) ? Infinity : error / Math.max(1, Math.abs(slope)));
        });
      }
    }
    console.table(CASES.map((c, k) => ({ operator: c.title, 'finite differences': errors[k]!.toExponential(1) })));
    expect(CASES.filter((_, k) => errors[k]! > ERROR_MAX).map((c) => c.title)).toEqual([]);
  }, 30_000);

  it('adds up what several readers of a value give back: mean squared error', async () => {
    const graph = makeGraph(
      [
        makeNode('Sub', ['x', 'target'], ['d']),
        makeNode('Mul', ['d', 'd'], ['square']),
        makeNode('ReduceMean', ['square'], ['loss'], { attributes: { keepdims: 0n } }),
      ],
      [makeValue('x', 1, ['batch', 2]), makeValue('target', 1, ['batch', 2])],
      [makeValue('loss', 1, [])],
    );
    const path = join(folder, 'mse.onnx');
    const differentiated = differentiate(makeModel(graph), { loss: 'loss', parameters: ['x'] });
    await writeFile(path, Buffer.concat(encodeModel(differentiated)));
    const runner = await runtime.load({ label: 'mse', path, providers: ['cpu'], intraOpThreads: 1 }, never);
    for (const rows of [1, 2]) {
      const x = Float32Array.of(1, 2, 3, 5).subarray(0, rows * 2);
      const target = Float32Array.of(0, 4, 3, 1).subarray(0, rows * 2);
      const fed = [tensor('x', 'FP32', [rows, 2], bytesOf(x)), tensor('target', 'FP32', [rows, 2], bytesOf(target))];
      const { outputs } = await runner.run(fed, [gradientName('x')], never);
      const expected = [...x].map((value, i) => (2 * (value - target[i]!)) / x.length);
      expect([...float32Of(outputs[0]!)]).toEqual(expected);
    }
  });

  it('names an operator without a gradient, and where, before anything runs', () => {
    const graph = makeGraph(
      [
        makeNode('Relu', ['w'], ['a']),
        makeNode('TopK', ['a', 'k'], ['b', 'i'], { name: 'best' }),
        makeNode('ReduceSum', ['b'], ['loss']),
      ],
      [makeValue('w', 1, [4]), makeValue('k', 7, [1])],
      [makeValue('loss', 1, [1])],
    );
    const attempt = (): ModelProto => differentiate(makeModel(graph), { loss: 'loss', parameters: ['w'] });
    expect(attempt).toThrow(GradientError);
    expect(attempt).toThrow('node best (TopK, number 1): the operator has no gradient');
  });

  it('names a parameter that the loss does not depend on', () => {
    const graph = makeGraph(
      [makeNode('ReduceSum', ['w'], ['loss'])],
      [makeValue('w', 1, [4]), makeValue('v', 1, [4])],
      [makeValue('loss', 1, [1])],
    );
    const attempt = (): ModelProto => differentiate(makeModel(graph), { loss: 'loss', parameters: ['w', 'v'] });
    expect(attempt).toThrow('v: has no path to the loss');
  });
});
