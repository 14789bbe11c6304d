// Graphs as torch.onnx.export writes them (test/fixtures/training): three steps in the engine against the same three in PyTorch.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildStepGraph, type StepGraph } from '@tidegate/cloud-hub/training/step-graph/build-step-graph.js';
import { withParameters } from '@tidegate/cloud-hub/training/step-graph/put-back.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { rawBytesOf } from '@tidegate/shared/onnx/tensor-data.js';
import type { Engine } from '@tidegate/shared/runtime/engine.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { train } from '@tidegate/shared/training/train.js';

interface Numbers {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

interface Reference {
  readonly rate: number;
  readonly x: Numbers;
  readonly labels: Numbers;
  readonly losses: readonly number[];
  readonly weights: Readonly<Record<string, readonly number[]>>;
}

const never = new AbortController().signal;
/** Single precision against double, over three steps. */
const ERROR_MAX = 1e-5;

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/training/${name}`, import.meta.url));

function fed(name: string, { dims, values }: Numbers, isWhole: boolean): NamedTensor {
  return isWhole
    ? tensor(name, 'INT64', dims, bytesOf(BigInt64Array.from(values, BigInt)))
    : tensor(name, 'FP32', dims, bytesOf(Float32Array.from(values)));
}

describe('graphs as PyTorch exports them', () => {
  let folder: string;
  let engine: Engine;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidegate-exported-'));
    engine = createCapiEngine();
  });
  afterAll(async () => {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function trained(name: string, step: StepGraph, reference: Reference, steps: number) {
    const path = join(folder, `${name}.onnx`);
    await writeFile(path, Buffer.concat(encodeModel(step.model)));
    const session = await engine.load({ path, providers: ['cpu'], intraOpThreads: 1 }, never);
    if (session.openState === undefined) throw new Error('the engine keeps no tensors');
    const state = session.openState(step.initial, step.carried);
    const losses: number[] = [];
    const feeds = [fed('x', reference.x, name.startsWith('attention'))];
    const labels = fed('labels', reference.labels, step.outputs.right !== undefined);
    const value = { feeds, labels, count: reference.x.dims[0] ?? 1 };
    await train(
      { names: step, doneSteps: 0, steps, accumulate: 1, learningRate: () => reference.rate, checkpointEveryMs: 1e9 },
      {
        state,
        batches: { next: async () => ({ done: false, value }) },
        clock: systemClock,
        onStep: ({ loss }) => losses.push(loss),
        checkpoint: async () => undefined,
      },
      never,
    );
    const weights = state.read(step.parameters.map(({ input }) => input));
    await state.close();
    return { losses, weights };
  }

  const options = {
    optimizer: 'sgd' as const,
    momentum: 0,
    weightDecay: 0,
    clipNorm: 0,
    accumulate: 1,
    freeze: [] as string[],
    rates: [],
    batchNormalization: 'frozen' as const,
  };

  it.each([
    ['mobile', 'cross-entropy'],
    ['attention', 'cross-entropy'],
    ['upscale', 'mse'],
  ] as const)('moves every weight of %s as PyTorch does', async (name, loss) => {
    const reference = JSON.parse(await readFile(fixture(`${name}.json`), 'utf8')) as Reference;
    const model = decodeModel(await readFile(fixture(`${name}.onnx`)));
    const step = buildStepGraph(model, { ...options, loss });
    expect(step.parameters.map((one) => one.name).sort()).toEqual(Object.keys(reference.weights).sort());
    const { losses, weights } = await trained(name, step, reference, reference.losses.length);
    losses.forEach((value, i) => expect(Math.abs(value - (reference.losses[i] ?? NaN))).toBeLessThan(ERROR_MAX));
    for (const value of weights) {
      const { name: weight } = value;
      const values = float32Of(value);
      const expected = reference.weights[weight] ?? [];
      expect(values.length).toBe(expected.length);
      const error = Math.max(...expected.map((one, i) => Math.abs(one - (values[i] ?? NaN))));
      expect(error, weight).toBeLessThan(ERROR_MAX);
    }
    const graph = withParameters(model, weights);
    expect(graph.opsetImport).toEqual(model.opsetImport);
    expect(graph.graph?.node).toEqual(model.graph?.node);
  });

  it('leaves all but the head as it was, to the bit', async () => {
    const reference = JSON.parse(await readFile(fixture('mobile.json'), 'utf8')) as Reference;
    const model = decodeModel(await readFile(fixture('mobile.onnx')));
    const head = ['head.weight', 'head.bias'];
    // The exporter renamed the folded weights: their nodes still say where they stand.
    expect(Object.keys(reference.weights).filter((name) => name.startsWith('stem'))).toEqual([]);
    const freeze = ['stem*', '/depth*', 'point*', 'squeeze*', 'excite.weight', 'excite/Conv'];
    const step = buildStepGraph(model, { ...options, loss: 'cross-entropy', freeze });
    const { weights } = await trained('mobile-head', step, reference, 3);
    const after = withParameters(model, weights).graph?.initializer ?? [];
    const moved = (model.graph?.initializer ?? []).filter(
      (before, i) => !Buffer.from(rawBytesOf(before, '')).equals(rawBytesOf(after[i]!, '')),
    );
    expect(moved.map(({ name }) => name).sort()).toEqual(head.toSorted());
    const unknown = { ...options, loss: 'cross-entropy' as const, freeze: ['features*'] };
    expect(() => buildStepGraph(model, unknown)).toThrow(
      /features\* names no parameter.*onnx::Conv_\d+ \(stem\/Conv\)/,
    );
    const whole = buildStepGraph(model, { ...options, loss: 'cross-entropy' });
    expect(step.model.graph!.node.length).toBeLessThan(whole.model.graph!.node.length / 2);
  });
});
