// The step graph on the real engine: its updates equal a plain reference, and what it is told to leave alone stays as it is.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  buildStepGraph,
  type StepGraph,
  type StepGraphOptions,
} from '@tidegate/cloud-hub/training/step-graph/build-step-graph.js';
import { randomParameters, withParameters } from '@tidegate/cloud-hub/training/step-graph/put-back.js';
import { StepGraphError } from '@tidegate/cloud-hub/training/step-graph/step-graph-error.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import type { Engine, EngineState } from '@tidegate/shared/runtime/engine.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { batchOrder } from '@tidegate/shared/training/batch-order.js';
import { Checkpoints } from '@tidegate/shared/training/checkpoints.js';
import { train, TrainingDiverged, type TrainingBatch } from '@tidegate/shared/training/train.js';

const never = new AbortController().signal;
const zeros = (name: string, dims: number[]) =>
  makeTensor(name, 1, dims, new Uint8Array(4 * dims.reduce((a, b) => a * b, 1)));

/** 2 -> 16 -> 16 -> 2 with a normalization, random weights of seed 3. */
function network(normalized = false): ModelProto {
  const nodes = [
    makeNode('Gemm', ['x', 'fc1.weight', 'fc1.bias'], ['a1'], { attributes: { transB: 1n } }),
    ...(normalized
      ? [makeNode('BatchNormalization', ['a1', 'bn.scale', 'bn.shift', 'bn.mean', 'bn.var'], ['n1'])]
      : []),
    makeNode('Relu', [normalized ? 'n1' : 'a1'], ['h1']),
    makeNode('MatMul', ['h1', 'fc2.weight'], ['m2']),
    makeNode('Add', ['m2', 'fc2.bias'], ['a2']),
    makeNode('Tanh', ['a2'], ['h2']),
    makeNode('Gemm', ['h2', 'fc3.weight', 'fc3.bias'], ['logits'], { attributes: { transB: 1n } }),
  ];
  const statistics = ['bn.scale', 'bn.shift', 'bn.mean', 'bn.var'].map((name) => zeros(name, [16]));
  const weights = [
    ...[zeros('fc1.weight', [16, 2]), zeros('fc1.bias', [16]), zeros('fc2.weight', [16, 16]), zeros('fc2.bias', [16])],
    ...[zeros('fc3.weight', [2, 16]), zeros('fc3.bias', [2])],
    ...(normalized ? statistics : []),
  ];
  const graph = makeGraph(nodes, [makeValue('x', 1, ['n', 2])], [makeValue('logits', 1, ['n', 2])], weights);
  return randomParameters(makeModel(graph), 3);
}

const options: StepGraphOptions = {
  loss: 'cross-entropy',
  optimizer: 'adamw',
  momentum: 0.9,
  weightDecay: 0.01,
  clipNorm: 0,
  accumulate: 1,
  freeze: [],
  rates: [],
  batchNormalization: 'frozen',
};

/** Two interleaved half moons. */
function moons(count: number, seed = 5): { x: Float32Array; y: BigInt64Array } {
  const random = seededRandom(seed);
  const x = new Float32Array(count * 2);
  const y = new BigInt64Array(count);
  for (let i = 0; i < count; i += 1) {
    const upper = i % 2 === 0;
    const angle = Math.PI * random.next();
    const noise = (): number => 0.1 * (random.next() - 0.5);
    x[2 * i] = (upper ? Math.cos(angle) : 1 - Math.cos(angle)) + noise();
    x[2 * i + 1] = (upper ? Math.sin(angle) : 0.5 - Math.sin(angle)) + noise();
    y[i] = upper ? 0n : 1n;
  }
  return { x, y };
}

const data = moons(400);

function batchOf(indexes: readonly number[]): TrainingBatch {
  const x = Float32Array.from(indexes.flatMap((i) => [data.x[2 * i]!, data.x[2 * i + 1]!]));
  const y = BigInt64Array.from(indexes, (i) => data.y[i]!);
  const feeds = [tensor('x', 'FP32', [indexes.length, 2], bytesOf(x))];
  return { feeds, labels: tensor('labels', 'INT64', [indexes.length], bytesOf(y)), count: indexes.length };
}

async function* batches(order: Iterable<readonly number[]>): AsyncGenerator<TrainingBatch> {
  for (const indexes of order) yield batchOf(indexes);
}

describe('the step graph', () => {
  let folder: string;
  let engine: Engine;
  let files = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidegate-step-'));
    engine = createCapiEngine();
  });
  afterAll(async () => {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function open(step: StepGraph, initial = step.initial, threads = 1): Promise<EngineState> {
    files += 1;
    const path = join(folder, `${files}.onnx`);
    await writeFile(path, Buffer.concat(encodeModel(step.model)));
    const session = await engine.load({ path, providers: ['cpu'], intraOpThreads: threads }, never);
    if (session.openState === undefined) throw new Error('the engine keeps no tensors');
    return session.openState(initial, step.carried);
  }

  interface Run {
    readonly step: StepGraph;
    readonly state: EngineState;
    readonly steps: number;
    readonly batchSize?: number;
    readonly rate?: number;
    readonly accumulate?: number;
    readonly doneSteps?: number;
    readonly onStep?: (step: number, share: number) => void;
    readonly checkpoint?: (doneSteps: number) => Promise<void>;
    readonly signal?: AbortSignal;
  }

  function run({ step, state, steps, batchSize = 32, rate = 0.01, accumulate = 1, doneSteps = 0, ...rest }: Run) {
    const order = batchOrder({ count: 400, batchSize, seed: 9 }, doneSteps * accumulate, steps * accumulate);
    return train(
      {
        names: step,
        doneSteps,
        steps,
        accumulate,
        learningRate: () => rate,
        checkpointEveryMs: rest.checkpoint ? 0 : 1e9,
      },
      {
        state,
        batches: batches(order),
        clock: systemClock,
        onStep: (report) => rest.onStep?.(report.step, report.rightShare ?? 0),
        checkpoint: rest.checkpoint ?? (async () => undefined),
      },
      rest.signal ?? never,
    );
  }

  const weightsOf = (step: StepGraph, state: EngineState): Map<string, Float32Array> =>
    new Map(
      state.read(step.parameters.map(({ input }) => input)).map((value) => [value.name, float32Of(value).slice()]),
    );

  it('learns two moons', async () => {
    const step = buildStepGraph(network(), options);
    const state = await open(step);
    const shares: number[] = [];
    await run({ step, state, steps: 300, onStep: (_, share) => shares.push(share) });
    const last = shares.slice(-13);
    expect(last.reduce((a, b) => a + b, 0) / last.length).toBeGreaterThan(0.95);
    await state.close();
  });

  it.each(['adamw', 'sgd'] as const)('moves weights by %s as a plain implementation does', async (optimizer) => {
    const model = network();
    // With a rate of 0 for all but one weight matrix its gradient can be read off plain SGD with rate 1: g = w - w'.
    const probe = buildStepGraph(model, { ...options, optimizer: 'sgd', momentum: 0, weightDecay: 0 });
    const step = buildStepGraph(model, { ...options, optimizer });
    const state = await open(step);
    const kept = new Map<string, { m: Float64Array; v: Float64Array; w: Float64Array }>();
    for (const { name, ...value } of step.initial) {
      const w = float32Of(value);
      if (step.parameters.some((p) => p.name === name))
        kept.set(name, { m: new Float64Array(w.length), v: new Float64Array(w.length), w: Float64Array.from(w) });
    }
    const order = [...batchOrder({ count: 400, batchSize: 32, seed: 9 }, 0, 10)];
    let worst = 0;
    for (let t = 1; t <= 10; t += 1) {
      const now = state.read(step.parameters.map(({ input }) => input));
      const probing = await open(probe, now);
      const before = weightsOf(step, state);
      await train(
        { names: probe, doneSteps: 0, steps: 1, accumulate: 1, learningRate: () => 1, checkpointEveryMs: 1e9 },
        {
          state: probing,
          batches: batches([order[t - 1]!]),
          clock: systemClock,
          onStep: () => undefined,
          checkpoint: async () => undefined,
        },
        never,
      );
      const after = weightsOf(probe, probing);
      await probing.close();
      await train(
        { names: step, doneSteps: t - 1, steps: t, accumulate: 1, learningRate: () => 0.01, checkpointEveryMs: 1e9 },
        {
          state,
          batches: batches([order[t - 1]!]),
          clock: systemClock,
          onStep: () => undefined,
          checkpoint: async () => undefined,
        },
        never,
      );
      const moved = weightsOf(step, state);
      for (const [name, one] of kept) {
        const decay = name.endsWith('weight') ? 0.01 : 0;
        for (let i = 0; i < one.w.length; i += 1) {
          const g = before.get(name)![i]! - after.get(name)![i]!;
          const w = before.get(name)![i]!;
          let next: number;
          if (optimizer === 'sgd') {
            one.m[i] = 0.9 * one.m[i]! + g;
            next = w * (1 - 0.01 * decay) - 0.01 * one.m[i]!;
          } else {
            one.m[i] = 0.9 * one.m[i]! + 0.1 * g;
            one.v[i] = 0.999 * one.v[i]! + 0.001 * g * g;
            const direction = one.m[i]! / (1 - 0.9 ** t) / (Math.sqrt(one.v[i]! / (1 - 0.999 ** t)) + 1e-8);
            // Where the gradient is as small as its own rounding, its direction is not known here.
            next = Math.abs(g) < 1e-5 ? moved.get(name)![i]! : w * (1 - 0.01 * decay) - 0.01 * direction;
          }
          worst = Math.max(worst, Math.abs(next - moved.get(name)![i]!));
        }
      }
    }
    await state.close();
    expect(worst).toBeLessThan(optimizer === 'sgd' ? 1e-6 : 2e-4); // the probe's g = w - w' has lost digits
  });

  it('adds batches up to what the large batch gives', async () => {
    const large = buildStepGraph(network(), { ...options, clipNorm: 0.5 });
    const small = buildStepGraph(network(), { ...options, clipNorm: 0.5, accumulate: 4 });
    const [one, other] = [await open(large), await open(small)];
    await run({ step: large, state: one, steps: 10, batchSize: 80 });
    await run({ step: small, state: other, steps: 10, batchSize: 20, accumulate: 4 });
    const [a, b] = [weightsOf(large, one), weightsOf(small, other)];
    for (const [name, values] of a) {
      for (const [i, value] of values.entries()) expect(Math.abs(value - b.get(name)![i]!)).toBeLessThan(2e-4);
    }
    await Promise.all([one.close(), other.close()]);
  });

  it('clips to the norm, leaves frozen weights to the bit, and multiplies rates', async () => {
    const model = network();
    const sgd = { ...options, optimizer: 'sgd' as const, momentum: 0, weightDecay: 0 };
    const move = async (more: Partial<StepGraphOptions>): Promise<Map<string, number>> => {
      const step = buildStepGraph(model, { ...sgd, ...more });
      const state = await open(step);
      const before = weightsOf(step, state);
      await run({ step, state, steps: 1, rate: 1 });
      const after = weightsOf(step, state);
      await state.close();
      const length = (name: string): number => Math.hypot(...before.get(name)!.map((w, i) => w - after.get(name)![i]!));
      return new Map([...before.keys()].map((name) => [name, length(name)]));
    };
    const free = await move({});
    const clipped = await move({ clipNorm: 0.01 });
    expect(Math.hypot(...clipped.values())).toBeCloseTo(0.01, 4);
    const head = await move({ freeze: ['fc1*', 'fc2.weight'], rates: [{ pattern: 'fc3.*', factor: 0.5 }] });
    expect([...head.keys()].sort()).toEqual(['fc2.bias', 'fc3.bias', 'fc3.weight']);
    expect(head.get('fc3.weight')! / free.get('fc3.weight')!).toBeCloseTo(0.5, 3);
  });

  it('carries running statistics in training mode, and freezes them otherwise', async () => {
    const free = buildStepGraph(network(true), { ...options, batchNormalization: 'batch' });
    const state = await open(free);
    await run({ step: free, state, steps: 200 });
    const after = weightsOf(free, state);
    expect([...after.get('bn.mean')!].some((mean) => Math.abs(mean) > 0.05)).toBe(true);
    const frozen = buildStepGraph(network(true), options);
    expect(frozen.parameters.map(({ name }) => name)).not.toContain('bn.mean');
    const trained = withParameters(network(true), state.read(free.parameters.map(({ input }) => input)));
    expect(trained.graph?.initializer.map(({ name }) => name)).toEqual(
      network(true).graph?.initializer.map(({ name }) => name),
    );
    await state.close();
  });

  it.each([1, 2])('goes on from a checkpoint bit for bit, with %i threads', async (threads) => {
    const step = buildStepGraph(network(true), { ...options, batchNormalization: 'batch', clipNorm: 1 });
    const straight = await open(step, step.initial, threads);
    await run({ step, state: straight, steps: 40 });
    const all = straight.read();
    await straight.close();
    for (const stopAt of [1, 13, 39]) {
      const place = join(folder, `checkpoints-${threads}-${stopAt}`);
      const checkpoints = new Checkpoints({ folder: place, jobDigest: 'j' }, { files: systemFiles, log: silentLog });
      const first = await open(step, step.initial, threads);
      const stop = new AbortController();
      const end = await run({
        step,
        state: first,
        steps: 40,
        signal: stop.signal,
        onStep: (done) => done === stopAt && stop.abort(),
        checkpoint: (doneSteps) => checkpoints.save({ doneSteps, tensors: first.read() }),
      });
      expect(end).toEqual({ kind: 'stopped', doneSteps: stopAt });
      await first.close();
      const saved = await checkpoints.newest();
      const second = await open(step, saved!.tensors, threads);
      await run({ step, state: second, steps: 40, doneSteps: saved!.doneSteps });
      const bytes = (values: readonly NamedTensor[]): Map<string, string> =>
        new Map(values.map(({ name, data: content }) => [name, Buffer.from(content).toString('base64')]));
      expect(bytes(second.read())).toEqual(bytes(all));
      await second.close();
    }
  });

  it('says that it diverges instead of training on', async () => {
    const step = buildStepGraph(network(), { ...options, optimizer: 'sgd' });
    const state = await open(step);
    await expect(run({ step, state, steps: 200, rate: 1e30 })).rejects.toThrow(TrainingDiverged);
    await state.close();
  });

  it('refuses what it can not train, and says why', () => {
    const model = network();
    const code = (make: () => unknown): string => {
      try {
        make();
      } catch (error) {
        if (error instanceof StepGraphError) return `${error.code}: ${error.message}`;
        throw error;
      }
      return 'nothing';
    };
    expect(code(() => buildStepGraph(model, { ...options, freeze: ['*'] }))).toMatch(/^nothing-to-train/);
    expect(code(() => buildStepGraph(model, { ...options, freeze: ['conv*'] }))).toMatch(
      /^unmatched-pattern: conv\* names/,
    );
    expect(code(() => buildStepGraph(model, { ...options, output: 'x' }))).toMatch(/^bad-output.*it has logits/);
    expect(code(() => buildStepGraph({ ...model, opsetImport: [{ domain: '', version: 9 }] }, options))).toMatch(
      /^old-graph/,
    );
    expect(code(() => withParameters(model, [tensor('nobody', 'FP32', [1], new Uint8Array(4))]))).toMatch(
      /^bad-values/,
    );
  });
});
