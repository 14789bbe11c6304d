// Every gradient against finite differences and against PyTorch's, which reference/make_reference.py computed from the same values.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { differentiate, gradientName } from '@tidegate/cloud-hub/training/gradients/differentiate.js';
import { GradientError } from '@tidegate/cloud-hub/training/gradients/gradient-error.js';
import { GRADIENT_RULES } from '@tidegate/cloud-hub/training/gradients/registry.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { validateModel } from '@tidegate/shared/onnx/validate-model.js';
import type { GraphRunner } from '@tidegate/shared/runtime/graph-runner.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { GRADIENT_CASES, graphOfCases, gridValues, sizeOf, TORCH_GRADIENTS } from './reference/gradient-cases.js';
import { recordGradients } from './reference/recorded-gradients.js';

const EPSILON = 5e-3;
/** Rounding of FP32 (1e-7 of values around 1) over two EPSILON, and the cubic term. */
const DIFFERENCES_ERROR_MAX = 2e-3;
/** FP32 against PyTorch's double precision from the same values: rounding alone. */
const TORCH_ERROR_MAX = 5e-6;

/** Of a gradient of 1 and less the error itself, of larger ones the share. */
function errorOf(gradient: number | undefined, expected: number | undefined): number {
  const error = Math.abs((gradient ?? NaN) - (expected ?? NaN)) / Math.max(1, Math.abs(expected ?? NaN));
  return Number.isNaN(error) ? Infinity : error;
}

/** The largest of each case. */
function torchErrors(gradientOf: (k: number, input: number) => Float32Array | undefined): number[] {
  return GRADIENT_CASES.map(({ title }, k) => {
    const expected = TORCH_GRADIENTS[title] ?? [[Number.NaN]];
    const errors = expected.map((values, input) => values.map((value, i) => errorOf(gradientOf(k, input)?.[i], value)));
    return Math.max(...errors.flat());
  });
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

  async function load(label: string, model: ModelProto, intraOpThreads = 1): Promise<GraphRunner> {
    const path = join(folder, `${label}.onnx`);
    await writeFile(path, Buffer.concat(encodeModel(model)));
    return runtime.load({ label, path, providers: ['cpu'], intraOpThreads }, never);
  }

  it('agrees with finite differences and with PyTorch for every operator', async () => {
    const cases = GRADIENT_CASES;
    const { model, parameters, weights } = graphOfCases(cases);
    const names = [...parameters.keys()];
    const differentiated = differentiate(model, { loss: 'total', parameters: names });
    validateModel(differentiated);
    const runner = await load('all', differentiated);
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
    const gradientOf = (k: number, input: number) => analytic.get(gradientName(`c${k}_x${input}`));
    const ys = cases.map((_, k) => `c${k}_y`);
    const differences = cases.map(() => 0);
    for (const input of [0, 1, 2]) {
      const longest = Math.max(...cases.map((c) => sizeOf(c.x[input] ?? [0])));
      for (let at = 0; at < longest; at += 1) {
        const [up, down] = [
          await run(feeds({ input, at, by: EPSILON }), ys),
          await run(feeds({ input, at, by: -EPSILON }), ys),
        ];
        cases.forEach((c, k) => {
          if (at >= sizeOf(c.x[input] ?? [0])) return;
          const [high, low] = [up.get(`c${k}_y`)!, down.get(`c${k}_y`)!];
          const slope = weights[k]!.reduce((sum, w, i) => sum + w * (high[i]! - low[i]!), 0) / (2 * EPSILON);
          differences[k] = Math.max(differences[k]!, errorOf(gradientOf(k, input)?.[at], slope));
        });
      }
    }
    const torch = torchErrors(gradientOf);
    const measured = cases.map((c, k) => ({
      title: c.title,
      differences: Number(differences[k]!.toExponential(1)),
      torch: Number(torch[k]!.toExponential(1)),
    }));
    console.table(measured);
    await recordGradients(measured);
    expect(measured.filter(({ differences: error }) => error > DIFFERENCES_ERROR_MAX)).toEqual([]);
    expect(measured.filter(({ torch: error }) => error > TORCH_ERROR_MAX)).toEqual([]);
  }, 30_000);

  it('agrees with PyTorch where sizes are known only when the graph runs', async () => {
    const { model, parameters } = graphOfCases(GRADIENT_CASES, true);
    const names = [...parameters.keys()];
    const runner = await load('dynamic', differentiate(model, { loss: 'total', parameters: names }));
    const fed = [...parameters].map(([name, { dims, data }]) => tensor(name, 'FP32', dims, bytesOf(data)));
    const { outputs } = await runner.run(fed, names.map(gradientName), never);
    const gradients = new Map(outputs.map((output) => [output.name, float32Of(output)]));
    const errors = torchErrors((k, input) => gradients.get(gradientName(`c${k}_x${input}`)));
    expect(GRADIENT_CASES.filter((_, k) => errors[k]! > TORCH_ERROR_MAX).map(({ title }) => title)).toEqual([]);
  });

  it('gives a maximum that stands twice in a window to the first, as PyTorch does', async () => {
    const pool = makeNode('MaxPool', ['x'], ['y'], { attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] } });
    const nodes = [pool, makeNode('ReduceSum', ['y'], ['loss'], { attributes: { keepdims: 0n } })];
    const expected = [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
    const x = [0, 2, 1, 1, 2, 2, 1, 0, -3, -2, 0, 0, -3, -1, 0, 5];
    const forms = [
      { type: 1, side: 4, fed: tensor('x', 'FP32', [1, 1, 4, 4], bytesOf(Float32Array.from(x))) },
      { type: 1, side: 'side', fed: tensor('x', 'FP32', [1, 1, 4, 4], bytesOf(Float32Array.from(x))) },
      { type: 11, side: 4, fed: tensor('x', 'FP64', [1, 1, 4, 4], bytesOf(Float64Array.from(x))) },
    ];
    for (const { type, side, fed } of forms) {
      const graph = makeGraph(nodes, [makeValue('x', type, [1, 1, side, side])], [makeValue('loss', type, [])]);
      const differentiated = differentiate(makeModel(graph), { loss: 'loss', parameters: ['x'] });
      const runner = await load(`ties-${type}-${side}`, differentiated);
      const { outputs } = await runner.run([fed], [gradientName('x')], never);
      const { data } = outputs[0]!;
      expect([...(type === 1 ? float32Of(outputs[0]!) : new Float64Array(new Uint8Array(data).buffer))]).toEqual(
        expected,
      );
    }
  });

  it('gives the same bits again with two threads', async () => {
    const shapes = { x: [8, 16, 32, 32], w: [16, 16, 3, 3], scale: [16], shift: [16] };
    const statistics = [
      makeTensor('mean', 1, [16], new Uint8Array(64)),
      makeTensor('variance', 1, [16], new Uint8Array(64)),
    ];
    const graph = makeGraph(
      [
        makeNode('Conv', ['x', 'w'], ['a'], { attributes: { pads: [1n, 1n, 1n, 1n] } }),
        makeNode('BatchNormalization', ['a', 'scale', 'shift', 'mean', 'variance'], ['b', 'm', 'v'], {
          attributes: { training_mode: 1n },
        }),
        makeNode('Relu', ['b'], ['c']),
        makeNode('MaxPool', ['c'], ['d'], { attributes: { kernel_shape: [2n, 2n], strides: [2n, 2n] } }),
        makeNode('Mul', ['d', 'd'], ['e']),
        makeNode('ReduceMean', ['e'], ['loss'], { attributes: { keepdims: 0n } }),
      ],
      Object.entries(shapes).map(([name, dims]) => makeValue(name, 1, dims)),
      [makeValue('loss', 1, [])],
      statistics,
    );
    const names = Object.keys(shapes);
    const differentiated = differentiate(makeModel(graph), { loss: 'loss', parameters: names });
    const fed = Object.entries(shapes).map(([name, dims], i) =>
      tensor(name, 'FP32', dims, bytesOf(gridValues(sizeOf(dims), [-1, 1], i))),
    );
    const bits = new Set<string>();
    for (const label of ['first', 'second', 'third']) {
      const runner = await load(label, differentiated, 2);
      const { outputs } = await runner.run(fed, names.map(gradientName), never);
      bits.add(outputs.map(({ data }) => Buffer.from(data).toString('base64')).join());
    }
    expect(bits.size).toBe(1);
  });

  it('has a case, and a reference, for every operator that has a gradient', () => {
    const cases = new Set(GRADIENT_CASES.map(({ op, domain }) => (domain ? `${domain}.${op}` : op)));
    expect(Object.keys(GRADIENT_RULES).filter((name) => !cases.has(name))).toEqual([]);
    expect(Object.keys(TORCH_GRADIENTS)).toEqual(GRADIENT_CASES.map(({ title }) => title));
  });

  it('is listed in docs/gradients.md', async () => {
    const script = fileURLToPath(new URL('../../../../docs/generate/gradients.mjs', import.meta.url));
    await expect(promisify(execFile)(process.execPath, [script, '--check'])).resolves.toBeDefined();
  });

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
    const runner = await load('mse', differentiate(makeModel(graph), { loss: 'loss', parameters: ['x'] }));
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

  it.each([
    ['Clip', ['x', 'w'], {}, 'trained bounds'],
    ['Pow', ['x', 'w'], {}, 'a trained exponent'],
    ['BatchNormalization', ['x', 's', 's', 'w', 's'], {}, 'trained running statistics'],
    ['SoftmaxCrossEntropyLoss', ['x', 'i', 'w'], {}, 'trained class weights'],
    ['Pad', ['x', 'i', 'w'], {}, 'a trained value'],
    ['Dropout', ['x', 'w'], {}, 'a trained ratio'],
    ['MaxPool', ['w'], { kernel_shape: [2n], storage_order: 1n }, 'column-major indices'],
    ['Einsum', ['w'], { equation: '...i->i' }, 'an ellipsis'],
    ['Einsum', ['w'], { equation: 'ii->i' }, 'a repeated index (a diagonal)'],
    ['ConvTranspose', ['x', 'w'], { output_shape: [2n] }, 'a stated output_shape'],
    ['Resize', ['w', '', 's'], { axes: [1n] }, 'stated axes'],
    ['Resize', ['w', '', 's'], {}, 'an image without channels'],
    ['Resize', ['w', '', 'scales'], {}, 'scaled batches or channels'],
    ['Cast', ['w'], { to: 10n }, 'another real type (10)'],
    ['ReduceMax', ['w'], { noop_with_empty_axes: 1n }, 'noop_with_empty_axes'],
  ] as const)('refuses a form of %s(%s) %o before anything runs: %s', (op, input, attributes, what) => {
    const nodes = [makeNode(op, input, ['y'], { name: 'one', attributes }), makeNode('ReduceSum', ['y'], ['loss'])];
    const floats = ['x', 'w', 's'].map((name) => makeValue(name, 1, [2, 2]));
    const scales = makeTensor('scales', 1, [4], bytesOf(Float32Array.of(1, 2, 2, 1)));
    const graph = makeGraph(nodes, [...floats, makeValue('i', 7, [2])], [makeValue('loss', 1, [1, 1])], [scales]);
    expect(() => differentiate(makeModel(graph), { loss: 'loss', parameters: ['w'] })).toThrow(
      `node one (${op}, number 0): ${op} with ${what} has no gradient`,
    );
  });

  it('reads axes that were an attribute before operator set 18', async () => {
    const mean = makeNode('ReduceMean', ['x'], ['m'], { attributes: { axes: [0n], keepdims: 0n } });
    const largest = makeNode('ReduceMax', ['m'], ['loss'], { attributes: { axes: [0n], keepdims: 0n } });
    const graph = makeGraph([mean, largest], [makeValue('x', 1, [2, 3])], [makeValue('loss', 1, [])]);
    const model = differentiate(makeModel(graph, { '': 17 }), { loss: 'loss', parameters: ['x'] });
    const x = tensor('x', 'FP32', [2, 3], bytesOf(Float32Array.of(1, 5, 2, 0, 3, 4)));
    const { outputs } = await (await load('axes', model)).run([x], [gradientName('x')], never);
    expect([...float32Of(outputs[0]!)]).toEqual([0, 0.5, 0, 0, 0.5, 0]);
  });

  it('gives a scalar that is reduced a gradient without axes', async () => {
    const mean = makeNode('ReduceMean', ['x'], ['loss'], { attributes: { keepdims: 0n } });
    const graph = makeGraph([mean], [makeValue('x', 1, [])], [makeValue('loss', 1, [])]);
    const model = differentiate(makeModel(graph), { loss: 'loss', parameters: ['x'] });
    const x = tensor('x', 'FP32', [], bytesOf(Float32Array.of(3)));
    const { outputs } = await (await load('scalar', model)).run([x], [gradientName('x')], never);
    expect([outputs[0]?.shape, [...float32Of(outputs[0]!)]]).toEqual([[], [1]]);
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
