// The same steps give the same tensors at training and at the edge, bit for bit: what a served model feeds its executor is recorded on
// the way, real engine and all, and held against what the preparation makes of a sample of the same inputs.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner, Runtime } from '@tidegate/shared/runtime/graph-runner.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { serveModel } from '@tidegate/shared/serving/open-served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { openPreparation } from '@tidegate/shared/training/prepare-inputs.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { decodeSample, encodeSample } from '@tidegate/shared/wire/sample.js';
import { afterAll, describe, expect, test } from 'vitest';
import { assemble } from '../../../examples/ocr-line/assemble.mjs';
import { BARE_GRAPH, bareYaml, writeBarePackage } from '../../support/bare-package.js';
import { writeCountingPackage } from '../../support/counting-package.js';
import { digitInput } from '../../support/digit-inputs.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('prepare-inputs');
const DIGITS = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
const NEVER = new AbortController().signal;
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
afterAll(() => runtime.close());

const open = (path: string) => openPackage(path, { inspect: inspectGraphFile });

/** Real executors whose feeds are kept, in the order in which they were sent. */
function recording(fed: (readonly NamedTensor[])[]): Runtime {
  return {
    load: async (options, signal) => {
      const runner = await runtime.load(options, signal);
      return new Proxy(runner, {
        get: (target, key) => {
          const value = Reflect.get(target, key, target) as unknown;
          if (key === 'run') {
            const run: GraphRunner['run'] = (feeds, outputs, abort) => {
              fed.push(feeds.map((feed) => ({ ...feed, data: feed.data.slice() })));
              return target.run(feeds, outputs, abort);
            };
            return run;
          }
          return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
        },
      });
    },
    close: () => Promise.resolve(),
  };
}

/** What the edge feeds the graph for each of these inputs, asked one after the other. */
async function fedAtTheEdge(path: string, requests: readonly NamedTensor[][]): Promise<(readonly NamedTensor[])[]> {
  const pack = await open(path);
  const { name } = pack.yaml;
  const digest = pack.versionDigest;
  const identity = { name, version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
  const fed: (readonly NamedTensor[])[] = [];
  const model = await serveModel(
    pack,
    identity,
    { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 16, heavy: false },
    { runtime: recording(fed), inspect: inspectGraphFile, clock: systemClock },
    NEVER,
  );
  try {
    for (const inputs of requests) {
      const deadlineMs = systemClock.monotonicMs() + 15_000;
      await model.infer({ inputs, outputs: [], deadlineMs, priority: 0 }, NEVER);
    }
  } finally {
    await model.close();
  }
  return fed;
}

/** As a sample travels: encoded, hashed, decoded. */
function asSample(model: string, inputs: readonly NamedTensor[]): readonly NamedTensor[] {
  const facts = { model, capturedAtMs: 1, reason: 'random-share' } as const;
  return decodeSample(encodeSample({ facts, inputs, outputs: [] })).inputs;
}

const inWords = (feeds: readonly NamedTensor[]) =>
  feeds.map(({ name, datatype, shape, data }) => ({ name, datatype, shape, bytes: sha256(data) }));

async function expectSame(path: string, requests: readonly NamedTensor[][]): Promise<void> {
  const preparation = await openPreparation(await open(path));
  const edge = await fedAtTheEdge(path, requests);
  expect(edge.length).toBe(requests.length);
  for (const [at, inputs] of requests.entries()) {
    const prepared = await preparation.prepare(asSample('any', inputs), NEVER);
    expect(inWords(prepared)).toEqual(inWords(edge[at]!));
    expect(prepared.every(({ data }, feed) => Buffer.compare(data, edge[at]![feed]!.data) === 0)).toBe(true);
  }
}

describe('the same steps give the same tensors at training and at the edge, bit for bit', () => {
  test('where the graph takes the input as it is: digits', async () => {
    await expectSame(
      DIGITS,
      [1, 2, 3, 4, 5].map((seed) => digitInput(seed)),
    );
  });

  test('where pictures are decoded, resized, normalised and padded: ocr-line, on every golden picture', async () => {
    const path = await assemble(join(folder(), 'ocr-line'));
    const goldens = join(path, 'goldens');
    const pictures = readdirSync(goldens).filter((name) => /\.(png|jpg|webp)$/.test(name));
    expect(new Set(pictures.map((name) => name.split('.').at(-1)))).toEqual(new Set(['png', 'jpg', 'webp']));
    await expectSame(
      path,
      pictures.map((name) => [tensor('picture', 'BYTES', [1], encodeBytes([readFileSync(join(goldens, name))]))]),
    );
  });

  test('a changed parameter of a step changes them: the comparison can fail', async () => {
    const path = await assemble(join(folder(), 'ocr-line'));
    const picture = readFileSync(
      join(
        path,
        'goldens',
        readdirSync(join(path, 'goldens')).find((n) => n.endsWith('png'))!,
      ),
    );
    const inputs = [tensor('picture', 'BYTES', [1], encodeBytes([picture]))];
    const before = await (await openPreparation(await open(path))).prepare(inputs, NEVER);
    const yaml = readFileSync(join(path, 'model.yaml'), 'utf8');
    writeFileSync(join(path, 'model.yaml'), yaml.replace('mean: [0.5]', 'mean: [0.5001]'));
    const after = await (await openPreparation(await open(path))).prepare(inputs, NEVER);
    expect(inWords(after)).not.toEqual(inWords(before));
  });
});

describe('a preparation', () => {
  test('says which graph it is for, what it is fed and what its outputs become', async () => {
    const preparation = await openPreparation(await open(DIGITS));
    expect(preparation.graph).toBe('digits.onnx');
    expect(preparation.feeds).toMatchObject([{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }]);
    expect(preparation.outputs).toMatchObject([{ port: 'logits', value: 'logits', spec: { shape: [-1, 10] } }]);
  });

  test('names the input that a step can’t take, and ends with the signal', async () => {
    const preparation = await openPreparation(await open(await assemble(join(folder(), 'ocr-line'))));
    const inputs = [tensor('picture', 'BYTES', [1], encodeBytes([Buffer.from('no picture')]))];
    await expect(preparation.prepare(inputs, NEVER)).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'picture',
    });
    await expect(preparation.prepare([], NEVER)).rejects.toMatchObject({ code: 'invalid-argument' });
    const stopped = AbortSignal.abort(new Error('stopped'));
    await expect(preparation.prepare(inputs, stopped)).rejects.toThrow('stopped');
  });

  test('refuses a graph that carries state', async () => {
    const pack = await open(writeCountingPackage(folder()));
    await expect(openPreparation(pack)).rejects.toThrow('sum.onnx carries state from one request to the next');
  });

  test('of a package with several graphs asks which, and refuses one behind another', async () => {
    const path = writeBarePackage(folder(), 'two');
    writeFileSync(join(path, 'n.onnx'), readFileSync(BARE_GRAPH));
    const nodes = '[{ graph: m.onnx, outputs: { y: between } }, { graph: n.onnx, inputs: { x: between } }]';
    writeFileSync(join(path, 'model.yaml'), bareYaml('two', { pipeline: nodes }));
    const pack = await open(path);
    await expect(openPreparation(pack)).rejects.toThrow('has 2 graphs (m.onnx, n.onnx); say which one');
    await expect(openPreparation(pack, 'o.onnx')).rejects.toThrow('has no graph o.onnx; it has m.onnx, n.onnx');
    await expect(openPreparation(pack, 'n.onnx')).rejects.toThrow('only a graph behind steps alone can be trained');
    const first = await openPreparation(pack, 'm.onnx');
    const x = tensor('x', 'FP32', [1, 4], new Uint8Array(16));
    expect(await first.prepare([x], NEVER)).toMatchObject([{ name: 'x', shape: [1, 4] }]);
  });
});
