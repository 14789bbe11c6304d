// A model with every kind of layer that the quantizing passes handle, and what it takes to run a model in an executor.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

/** Numbers of a normal distribution, the same for the same seed. */
export function normal(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 4294967297;
  };
  return Float32Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()));
}

export function floats(name: string, dims: readonly number[], seed: number, factor = 0.1): TensorProto {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return makeTensor(name, 1, dims, bytesOf(normal(count, seed).map((value) => value * factor)));
}

/** Outputs of the fixture: each is one layer over `x` [batch, 70]; 70 is no multiple of a block. */
export const LAYERS = {
  plain: 'MatMul',
  constant: 'MatMul whose weights are a Constant node',
  shared: 'MatMul over the same weights as plain',
  gemm: 'Gemm with transB, alpha, beta and a constant bias',
  bias: 'Gemm with a bias that is computed',
  nobeta: 'Gemm whose bias counts for nothing',
  stacked: 'MatMul over three dimensions',
} as const;

export function linearModel(opset = 17, irVersion = 8): ModelProto {
  const nodes = [
    makeNode('MatMul', ['x', 'w'], ['plain'], { name: 'plain' }),
    makeNode('Constant', [], ['wc'], { attributes: { value: floats('', [70, 40], 2) } }),
    makeNode('MatMul', ['x', 'wc'], ['constant']),
    makeNode('MatMul', ['doubled', 'w'], ['shared']),
    makeNode('Gemm', ['x', 'wt', 'b'], ['gemm'], { attributes: { transB: 1n, alpha: 0.5, beta: 2 } }),
    makeNode('MatMul', ['x', 'tiny'], ['computed']),
    makeNode('Gemm', ['x', 'w', 'computed'], ['bias'], { attributes: { beta: 3 } }),
    makeNode('Gemm', ['x', 'w', 'b48'], ['nobeta'], { attributes: { beta: 0 } }),
    makeNode('MatMul', ['cube', 'w'], ['stacked']),
    // Left alone: transposed on the left, and no constant weights.
    makeNode('Gemm', ['x', 'square', 'leftbias'], ['left'], { attributes: { transA: 1n } }),
  ];
  const before = [
    makeNode('Add', ['x', 'x'], ['doubled']),
    makeNode('Unsqueeze', ['x', ...(opset >= 13 ? ['axes'] : [])], ['cube'], {
      attributes: opset >= 13 ? {} : { axes: [0n] },
    }),
  ];
  const initializer = [
    floats('w', [70, 48], 1),
    floats('wt', [40, 70], 3),
    floats('b', [40], 4),
    floats('b48', [48], 5),
    floats('tiny', [70, 1], 6),
    floats('square', [4, 300], 7),
    floats('leftbias', [1], 8),
    makeTensor('axes', 7, [1], bytesOf(BigInt64Array.of(0n))),
  ];
  const output = [...Object.keys(LAYERS), 'left'].map((name) => ({
    name,
    type: { tensorType: { elemType: 1 } },
    metadataProps: [],
  }));
  const input = [makeValue('x', 1, ['batch', 70])];
  const listed =
    irVersion < 4 ? initializer.map(({ name, dims, dataType }) => makeValue(name ?? '', dataType ?? 1, dims)) : [];
  return {
    ...makeModel(makeGraph([...before, ...nodes], [...input, ...listed], output, initializer), { '': opset }),
    irVersion,
  };
}

/** Runs one model, written into `folder`, in an executor of its own; outputs by name. */
export async function runModel(
  model: ModelProto,
  feeds: readonly NamedTensor[],
  folder: string,
): Promise<Map<string, Float32Array>> {
  const path = join(folder, 'model.onnx');
  await fs.writeFile(path, Buffer.concat(encodeModel(model)));
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  const signal = AbortSignal.timeout(20_000);
  try {
    const options = { label: 'pass', path, providers: ['cpu'], intraOpThreads: 1, concurrency: 1 } as const;
    const { outputs } = await (await runtime.load(options, signal)).run(feeds, [], signal);
    return new Map(outputs.map((output) => [output.name, float32Of(output)]));
  } finally {
    await runtime.close();
  }
}

/** Four rows of random input: `left` takes exactly four. */
export const linearFeeds = [tensor('x', 'FP32', [4, 70], bytesOf(normal(4 * 70, 99)))];

/** Root of the summed squared errors over that of the summed squares. */
export function relativeError(expected: Float32Array, actual: Float32Array): number {
  if (expected.length !== actual.length) return Infinity;
  let error = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i += 1) {
    error += ((expected[i] ?? 0) - (actual[i] ?? 0)) ** 2;
    size += (expected[i] ?? 0) ** 2;
  }
  return Math.sqrt(error / size);
}
