// A model that answers numbers, trained by the job's process from its package to its result: mean squared error, one target or several.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { EXIT, RESULT_GRAPH_FILE } from '@tidegate/cloud-hub/training/job-process/job-order.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { floatsOf, makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import type { Engine } from '@tidegate/shared/runtime/engine.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';
import { encodeSample } from '@tidegate/shared/wire/sample.js';
import { freezeBodies } from '../../../support/frozen-dataset.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { JobProcess, openContent, readResult, writeOrder } from '../../../support/training-jobs.js';

// The process gives way to whatever else runs, the other tests included.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const never = new AbortController().signal;
const folder = temporaryFolders('regression');
const contentFolder = folder();
let content: ContentStore;
let engine: Engine;
beforeAll(async () => {
  content = await openContent(contentFolder);
  engine = createCapiEngine();
});
afterAll(() => engine.close());

interface Sample {
  readonly x: readonly [number, number, number];
  readonly targets: readonly number[];
  readonly split: 'train' | 'held-out';
}

/** Sensors between 10 and 30, and what they stand for: smooth, not linear; each fourth is held out. */
function samples(targets: number): Sample[] {
  const random = seededRandom(8);
  return Array.from({ length: 240 }, (_, i) => {
    const x = [0, 0, 0].map(() => 10 + 20 * random.next()) as [number, number, number];
    const [a, b, c] = x.map((value) => (value - 20) / 6) as [number, number, number];
    const all = [Math.sin(a) + 0.5 * b, b * c - 1];
    return { x, targets: all.slice(0, targets), split: i % 4 === 3 ? 'held-out' : 'train' };
  });
}

/** Three sensors, taken off their mean, through sixteen units; with one target the answer has one axis, as some export it. */
async function packageOf(targets: number): Promise<string> {
  const place = join(folder(), 'package');
  await mkdir(place);
  const zeros = (name: string, dims: number[]) =>
    makeTensor(name, 1, dims, new Uint8Array(4 * dims.reduce((a, b) => a * b, 1)));
  const all = (name: string, value: number) => makeTensor(name, 1, [3], bytesOf(new Float32Array(3).fill(value)));
  const answer = targets === 1 ? 'column' : 'y';
  const nodes = [
    makeNode('Sub', ['x', 'mean'], ['centred']),
    makeNode('Div', ['centred', 'deviation'], ['normal']),
    makeNode('Gemm', ['normal', 'hidden.weight', 'hidden.bias'], ['h']),
    makeNode('Tanh', ['h'], ['t']),
    makeNode('Gemm', ['t', 'out.weight', 'out.bias'], [answer]),
    ...(targets === 1 ? [makeNode('Squeeze', ['column', 'last'], ['y'])] : []),
  ];
  const weights = [
    ...[all('mean', 20), all('deviation', 6), zeros('hidden.weight', [3, 16]), zeros('hidden.bias', [16])],
    ...[zeros('out.weight', [16, targets]), zeros('out.bias', [targets])],
    makeTensor('last', 7, [1], bytesOf(BigInt64Array.of(-1n))),
  ];
  const shape = targets === 1 ? ['n'] : ['n', targets];
  const graph = makeGraph(nodes, [makeValue('x', 1, ['n', 3])], [makeValue('y', 1, shape)], weights);
  await writeFile(join(place, 'm.onnx'), Buffer.concat(encodeModel(makeModel(graph))));
  const yaml = [
    'name: sensors',
    'licence: MIT',
    'inputs: [{ name: x, datatype: FP32, shape: [-1, 3] }]',
    `outputs: [{ name: y, datatype: FP32, shape: [${targets === 1 ? '-1' : `-1, ${targets}`}] }]`,
    'pipeline: [{ graph: m.onnx }]',
  ];
  await writeFile(join(place, 'model.yaml'), `${yaml.join('\n')}\n`);
  return place;
}

async function errorOf(path: string, held: readonly Sample[]): Promise<number> {
  const session = await engine.load({ path, providers: ['cpu'], intraOpThreads: 1 }, never);
  const x = tensor('x', 'FP32', [held.length, 3], bytesOf(Float32Array.from(held.flatMap((one) => one.x))));
  const [answer] = await session.run([x], ['y'], never);
  const values = float32Of(answer!);
  const targets = held.flatMap((one) => one.targets);
  return targets.reduce((sum, target, i) => sum + (target - values[i]!) ** 2, 0) / targets.length;
}

describe('a model that answers numbers', () => {
  it.each([1, 2])('learns %i of them, and its error is what the result says', async (targets) => {
    const all = samples(targets);
    const bodies = all.map(({ x, targets: numbers, split }) => ({
      body: encodeSample({
        facts: { model: 'sensors', capturedAtMs: 0, reason: 'import' },
        inputs: [tensor('x', 'FP32', [1, 3], bytesOf(Float32Array.from(x)))],
        outputs: [],
      }),
      label: numbers.join(','),
      split,
    }));
    const place = folder();
    await writeOrder(place, {
      contentFolder,
      packageFolder: await packageOf(targets),
      checkpointEveryMs: 5000,
      datasets: { 'sensors@1': await freezeBodies(content, bodies) },
      parameters: { loss: 'mse', fromScratch: true, epochs: 60, batchSize: 20, learningRate: 0.02 },
    });
    const process = new JobProcess(place);
    expect(await process.ended, process.stderr).toEqual({ code: EXIT.done, signal: null });
    const [set] = (await readResult(place)).result.sets;
    expect(set).toMatchObject({ metric: 'mean-squared-error', count: 60 });
    expect(set!.result).toBeLessThan(set!.parent / 10);
    const path = join(place, RESULT_GRAPH_FILE);
    const held = all.filter(({ split }) => split === 'held-out');
    expect(await errorOf(path, held)).toBeCloseTo(set!.result, 5);
    const kept = decodeModel(await readFile(path)).graph!.initializer.filter(({ name }) => name === 'mean');
    expect(kept.map((one) => [...floatsOf(one, 'mean')])).toEqual([[20, 20, 20]]);
  });
});
