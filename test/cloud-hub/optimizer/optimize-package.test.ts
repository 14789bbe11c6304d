// The optimizer over real packages in real executors. The fixtures are built so that the effect is large: narrow layers over
// many rows, where quantizing costs more than it saves, and weights whose outliers leave no bits for those that decide.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { optimizePackage } from '@tidegate/cloud-hub/optimizer/optimize-package.js';
import type { MadeVariant } from '@tidegate/cloud-hub/registry/package-ports.js';
import { inspectModel } from '@tidegate/shared/onnx/inspect-model.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { serveModel } from '@tidegate/shared/serving/open-served-model.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { floats } from './linear-fixture.js';

const newFolder = temporaryFolders('optimizer');
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
afterAll(() => runtime.close());

async function optimize(folder: string): Promise<Map<string, MadeVariant>> {
  const digest = `sha256:${'0'.repeat(64)}`;
  const identity = { version: '0', versionDigest: digest, variant: 'test', variantDigest: digest };
  const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 8, heavy: false } as const;
  const made = await optimizePackage(
    folder,
    newFolder(),
    {
      load: (pack, signal) =>
        serveModel(
          pack,
          { ...identity, name: pack.yaml.name },
          options,
          { runtime, inspect: inspectGraphFile, clock: systemClock },
          signal,
        ),
      clock: systemClock,
      deviceClass: 'this',
    },
    AbortSignal.timeout(60_000),
  );
  return new Map(made.map((variant) => [variant.report.variant, variant]));
}

interface Golden {
  readonly x: readonly number[];
  readonly expected: number | readonly number[];
}

async function packageOf(
  model: ModelProto,
  metric: string,
  threshold: number,
  goldens: readonly Golden[],
): Promise<string> {
  const folder = newFolder();
  const { inputs, outputs } = inspectModel(model);
  const yaml = {
    name: 'fixture',
    licence: 'Apache-2.0',
    inputs,
    outputs,
    pipeline: [{ graph: 'graphs/model.onnx' }],
    goldens: { file: 'goldens.json', output: 'y', metric, threshold },
  };
  const entries = goldens.map(({ x, expected }, i) => ({
    id: `${i}`,
    inputs: { x: { datatype: 'FP32', shape: [1, x.length], data: x } },
    expected,
  }));
  await fs.mkdir(join(folder, 'graphs'));
  await fs.writeFile(join(folder, 'model.yaml'), JSON.stringify(yaml));
  await fs.writeFile(join(folder, 'goldens.json'), JSON.stringify(entries));
  await fs.writeFile(join(folder, 'graphs/model.onnx'), Buffer.concat(encodeModel(model)));
  return folder;
}

/** Pairs of layers, 4 x 256 and 256 x 4, over 1024 rows that the graph makes itself: next to no arithmetic to save. */
function narrowLayers(): ModelProto {
  const nodes = [makeNode('Expand', ['x', 'shape'], ['v0'])];
  const weights = [makeTensor('shape', 7, [2], bytesOf(BigInt64Array.of(1024n, 4n)))];
  for (let i = 0; i < 6; i += 1) {
    weights.push(floats(`wide${i}`, [4, 256], i + 1, 0.1), floats(`narrow${i}`, [256, 4], i + 9, 0.1));
    nodes.push(
      makeNode('MatMul', [`v${i}`, `wide${i}`], [`h${i}`]),
      makeNode('MatMul', [`h${i}`, `narrow${i}`], [`v${i + 1}`]),
    );
  }
  nodes.push(makeNode('ReduceMean', ['v6'], ['y'], { attributes: { axes: [0n], keepdims: 1n } }));
  return makeModel(makeGraph(nodes, [makeValue('x', 1, [1, 4])], [makeValue('y', 1, [1, 4])], weights));
}

/** 0.01 on the diagonal decides; rows 0 and 32 hold 1000 and are never fed. */
function outliers(): ModelProto {
  const values = new Float32Array(64 * 64);
  for (let k = 0; k < 64; k += 1)
    for (let j = 0; j < 64; j += 1) values[k * 64 + j] = k % 32 === 0 ? 1000 : k === j ? 0.01 : 0;
  const weights = makeTensor('w', 1, [64, 64], bytesOf(values));
  const node = makeNode('MatMul', ['x', 'w'], ['y']);
  return makeModel(makeGraph([node], [makeValue('x', 1, [1, 64])], [makeValue('y', 1, [1, 64])], [weights]));
}

const chosen = (made: Map<string, MadeVariant>): string[] =>
  [...made.values()].filter(({ report }) => report.outcome === 'chosen').map(({ report }) => report.variant);

describe('optimizePackage', { timeout: 60_000 }, () => {
  it('keeps fp32 where int8 is slower', async () => {
    const x = [-3, 1, 2, -0.5];
    const goldens = Array.from({ length: 10 }, () => ({ x, expected: [0, 0, 0, 0] }));
    const folder = await packageOf(narrowLayers(), 'max-abs-error', 1e9, goldens);
    // A large asset beside the graph: what weight formats save is not worth a download then.
    await fs.writeFile(join(folder, 'asset.bin'), Buffer.alloc(2_000_000));
    const made = await optimize(folder);
    const integers = ['int8-dynamic', 'int8-weights', 'int4-weights'].map((variant) => made.get(variant));
    const slower = integers.filter((one) => /^slower than fp32 \(\d/.test(one?.report.reason ?? ''));
    expect(slower.length).toBeGreaterThan(0); // all three, unless the machine is too busy to be certain of one
    for (const one of slower) expect(one).toMatchObject({ report: { outcome: 'refused' } });
    for (const one of slower) expect(one?.folder).toBeUndefined();
    expect(chosen(made)).toEqual(['fp32']);
  });

  it('refuses what loses accuracy, whatever its speed and size', async () => {
    const goldens = [1, 5, 9, 17, 23, 31, 33, 40, 50, 63].map((j) => ({
      x: Array.from({ length: 64 }, (_, k) => (k === j ? 1 : 0)),
      expected: j,
    }));
    const made = await optimize(await packageOf(outliers(), 'top1', 0, goldens));
    expect(made.get('fp32')?.report.score).toBe(1);
    for (const variant of ['int8-dynamic', 'int8-weights', 'int4-weights']) {
      expect(made.get(variant)?.report).toMatchObject({
        outcome: 'refused',
        reason: expect.stringMatching(/^accuracy 0(\.\d+)? under 1 - 0\.01$/) as string,
      });
    }
    expect(made.get('fp16-weights')?.report.score).toBe(1);
    expect(['fp32', 'fp16-weights']).toContain(chosen(made)[0]);
  });

  it('measures digits: complete packages, exactly one chosen, figures for each', async () => {
    const folder = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
    const made = await optimize(folder);
    expect([...made.keys()]).toEqual(['fp32', 'int8-dynamic', 'int8-weights', 'int4-weights', 'fp16-weights']);
    expect(chosen(made)).toHaveLength(1);
    for (const { report, folder: variantFolder } of made.values()) {
      expect(report.deviceClass).toBe('this');
      expect(report.score).toBeGreaterThanOrEqual(0.98);
      expect(report.latencyP99Ms).toBeGreaterThanOrEqual(report.latencyP50Ms ?? Infinity);
      if (report.outcome === 'refused') continue;
      const files = (await fs.readdir(variantFolder ?? '')).sort();
      expect(files.filter((name) => name.endsWith('.onnx') || name.endsWith('.yaml'))).toEqual([
        'digits.onnx',
        'model.yaml',
      ]);
    }
    expect(made.get('int4-weights')?.report.sizeBytes).toBeLessThan(made.get('fp32')?.report.sizeBytes ?? 0);
    const published = decodeModel(await fs.readFile(join(folder, 'digits.onnx')));
    expect(inspectModel(published).operators['Gemm']).toBe(2); // the published files were only read
  });

  it('offers only fp32 where nothing can be changed, or nothing says what is right', async () => {
    const graph = makeGraph([makeNode('Relu', ['x'], ['y'])], [makeValue('x', 1, [1, 2])], [makeValue('y', 1, [1, 2])]);
    const folder = await packageOf(makeModel(graph), 'max-abs-error', 0, [{ x: [1, -1], expected: [1, 0] }]);
    const made = await optimize(folder);
    expect(chosen(made)).toEqual(['fp32']);
    expect(made.get('int8-dynamic')?.report).toMatchObject({
      outcome: 'not-applicable',
      reason: 'no MatMul or Gemm to quantize',
    });
    const yaml = JSON.parse(await fs.readFile(join(folder, 'model.yaml'), 'utf8')) as Record<string, unknown>;
    delete yaml['goldens'];
    await fs.writeFile(join(folder, 'model.yaml'), JSON.stringify(yaml));
    const blind = await optimize(folder);
    expect(chosen(blind)).toEqual(['fp32']);
    expect(blind.get('fp16-weights')?.report.reason).toBe('no goldens to judge its accuracy by');
  });

  it('leaves a graph as it is that no golden runs, behind a branch', async () => {
    const ends = [makeValue('x', 1, [1, 64]), makeValue('large', 1, [1, 64])] as const;
    const product = makeGraph(
      [makeNode('MatMul', ['x', 'w'], ['large'])],
      [ends[0]],
      [ends[1]],
      [floats('w', [64, 64], 1)],
    );
    const sum = makeNode('ReduceSum', ['x'], ['sure'], { attributes: { keepdims: 0n } });
    const gate = makeGraph([sum], [ends[0]], [makeValue('sure', 1, [])]);
    const folder = newFolder();
    const branch = { step: 'branch', inputs: ['sure', 'large', 'x'], outputs: ['y'], with: { below: 0 } };
    const yaml = {
      ...{
        name: 'fixture',
        licence: 'Apache-2.0',
        pipeline: [{ graph: 'gate.onnx' }, { graph: 'large.onnx' }, branch],
      },
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 64] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 64] }],
      goldens: { file: 'goldens.json', output: 'y', metric: 'max-abs-error', threshold: 0 },
    };
    const data = Array(64).fill(1);
    const golden = { id: 'sure', inputs: { x: { datatype: 'FP32', shape: [1, 64], data } }, expected: data };
    await fs.writeFile(join(folder, 'model.yaml'), JSON.stringify(yaml));
    await fs.writeFile(join(folder, 'goldens.json'), JSON.stringify([golden]));
    await fs.writeFile(join(folder, 'gate.onnx'), Buffer.concat(encodeModel(makeModel(gate))));
    await fs.writeFile(join(folder, 'large.onnx'), Buffer.concat(encodeModel(makeModel(product))));
    expect((await optimize(folder)).get('int8-weights')?.report).toMatchObject({
      outcome: 'not-applicable',
      reason: expect.stringContaining('large.onnx: no golden runs it') as string,
    });
  });
});
