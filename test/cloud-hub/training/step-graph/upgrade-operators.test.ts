import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { upgradeOperators } from '@tidegate/cloud-hub/training/step-graph/upgrade-operators.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto, NodeProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';

type GraphModel = ModelProto & { readonly graph: NonNullable<ModelProto['graph']> };

function model(nodes: readonly NodeProto[], version: number, shape: readonly (number | string)[]): GraphModel {
  const graph = makeGraph(nodes, [makeValue('x', 1, shape)], [makeValue('y', 1, [])]);
  return { ...makeModel(graph, { '': version }), graph };
}

describe('upgradeOperators', () => {
  const never = new AbortController().signal;
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'upgrade-'));
  });
  afterAll(async () => {
    await runtime.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function answers(graph: ModelProto, label: string): Promise<string> {
    const path = join(folder, `${label}.onnx`);
    await writeFile(path, Buffer.concat(encodeModel(graph)));
    const runner = await runtime.load({ label, path, providers: ['cpu'], intraOpThreads: 1 }, never);
    const x = tensor('x', 'FP32', [2, 3, 4], bytesOf(Float32Array.from({ length: 24 }, (_, i) => Math.sin(i))));
    const { outputs } = await runner.run([x], ['y'], never);
    return Buffer.from(outputs[0]!.data).toString('hex');
  }

  it.each([
    ['a softmax over several axes', [makeNode('Softmax', ['x'], ['y'])], [2, 3, 4]],
    ['a log-softmax over several axes of unknown number', [makeNode('LogSoftmax', ['x'], ['y'])], ['a', 'b', 'c']],
    ['a softmax over the last axis', [makeNode('Softmax', ['x'], ['y'], { attributes: { axis: 2n } })], [2, 3, 4]],
    [
      'axes and sizes that were attributes',
      [
        makeNode('Split', ['x'], ['a', 'b'], { attributes: { axis: 2n, split: [1n, 3n] } }),
        makeNode('Squeeze', ['a'], ['c'], { attributes: { axes: [2n] } }),
        makeNode('ReduceSum', ['b'], ['d'], { attributes: { axes: [2n], keepdims: 0n } }),
        makeNode('Add', ['c', 'd'], ['e']),
        makeNode('Unsqueeze', ['e'], ['f'], { attributes: { axes: [0n] } }),
        makeNode('Dropout', ['f'], ['y'], { attributes: { ratio: 0.5 } }),
      ],
      [2, 3, 4],
    ],
  ] as const)('computes the same: %s', async (label, nodes, shape) => {
    const old = model(nodes, 11, shape);
    const current = upgradeOperators(old);
    expect(current.opsetImport).toEqual([{ domain: '', version: 16 }]);
    expect(await answers(current, `${label} 16`)).toBe(await answers(old, `${label} 11`));
  });

  it('leaves a graph that is new enough as it is', () => {
    const graph = model([makeNode('Relu', ['x'], ['y'])], 17, [2, 3, 4]);
    expect(upgradeOperators(graph)).toBe(graph);
  });

  it('says what it can not read as newer, and how to export it', () => {
    const statistics = makeNode('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y', 'mean', 'var'], { name: 'bn' });
    const inner = makeNode('If', ['c'], ['y'], { name: 'choice' });
    expect(() => upgradeOperators(model([statistics], 11, [2, 3]))).toThrow(
      'the graph has operator set 11: its node bn (BatchNormalization) is in training mode, which has other outputs since; export the model again with operator set 17',
    );
    expect(() => upgradeOperators(model([inner], 12, [2]))).toThrow('node choice (If) holds graphs of its own');
    expect(() => upgradeOperators(model([makeNode('Relu', ['x'], ['y'])], 9, [2]))).toThrow('needs 11 or newer');
  });
});

it('keeps the initializers, and adds what became inputs', () => {
  const kept = makeTensor('w', 1, [1], bytesOf(Float32Array.of(2)));
  const old = model([makeNode('Squeeze', ['x'], ['y'], { attributes: { axes: [0n] } })], 11, [1, 3]);
  const { graph } = upgradeOperators({ ...old, graph: { ...old.graph, initializer: [kept] } });
  expect(graph.initializer.map(({ name }) => name)).toEqual(['w', 'step/upgraded/y']);
});
