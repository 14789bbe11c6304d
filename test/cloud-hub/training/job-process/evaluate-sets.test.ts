// Parent and result through the engine against what a few lines say.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Batch, DatasetReader } from '@tidegate/cloud-hub/data/dataset-reader.js';
import { evaluateSets } from '@tidegate/cloud-hub/training/job-process/evaluate-sets.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import type { Engine, EngineSession } from '@tidegate/shared/runtime/engine.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const never = new AbortController().signal;
const folder = temporaryFolders('evaluate-sets');
let engine: Engine;
/** y = factor * x, for x of [n, 3]. */
const times: Record<string, EngineSession> = {};
beforeAll(async () => {
  engine = createCapiEngine();
  for (const factor of [1, -1, 2, Infinity]) {
    const path = join(folder(), 'm.onnx');
    const [x, y] = [makeValue('x', 1, ['n', 3]), makeValue('y', 1, ['n', 3])];
    const weight = makeTensor('f', 1, [1], bytesOf(Float32Array.of(factor)));
    const graph = makeGraph([makeNode('Mul', ['x', 'f'], ['y'])], [x], [y], [weight]);
    await writeFile(path, Buffer.concat(encodeModel(makeModel(graph))));
    times[factor] = await engine.load({ path, providers: ['cpu'], intraOpThreads: 1 }, never);
  }
});
afterAll(() => engine.close());

const ROWS = [
  [3, 1, 2],
  [0, 5, 5],
  [1, 2, 9],
  [-1, -2, -3],
  [7, 0, 0],
];

/** A reader of ROWS as its held-out side; `labels` are of the rows. */
function reader(labels: (indexes: readonly number[]) => Batch['labels']): Pick<DatasetReader, 'counts' | 'batches'> {
  return {
    counts: { train: 99, 'held-out': ROWS.length },
    batches: async function* (split, order) {
      expect(split).toBe('held-out');
      for (const indexes of order) {
        const data = bytesOf(Float32Array.from(indexes.flatMap((i) => ROWS[i]!)));
        const feeds = [
          tensor('x', 'FP32', [indexes.length, 3], data),
          tensor('unused', 'FP32', [1], new Uint8Array(4)),
        ];
        yield { feeds, labels: labels(indexes), count: indexes.length, ids: [] };
      }
    },
  };
}

it('counts right answers over batches of whatever size, the first of equal scores counting', async () => {
  const classes = [0n, 1n, 2n, 1n, 0n];
  const set = reader((indexes) =>
    tensor('labels', 'INT64', [indexes.length], bytesOf(BigInt64Array.from(indexes, (i) => classes[i]!))),
  );
  const graphs = { parent: times[-1]!, result: times[1]! };
  let batches = 0;
  const options = { loss: 'cross-entropy', output: 'y', batchSize: 2 } as const;
  const sets = [{ dataset: 'a@1', role: 'slice', reader: set as DatasetReader }] as const;
  const found = await evaluateSets(sets, graphs, options, () => (batches += 1), never);
  expect(found).toEqual([{ dataset: 'a@1', role: 'slice', metric: 'accuracy', count: 5, parent: 0, result: 0.8 }]);
  expect(batches).toBe(3);
});

it('means squared errors over all numbers', async () => {
  const set = reader((indexes) =>
    tensor('labels', 'FP32', [indexes.length, 3], bytesOf(Float32Array.from(indexes.flatMap((i) => ROWS[i]!)))),
  );
  const graphs = { parent: times[2]!, result: times[1]! };
  const options = { loss: 'mse', output: 'y', batchSize: 4 } as const;
  const sets = [{ dataset: 'a@1', role: 'held-out', reader: set as DatasetReader }] as const;
  const [found] = await evaluateSets(sets, graphs, options, () => undefined, never);
  const squares = ROWS.flat().map((x) => x * x);
  expect(found?.metric).toBe('mean-squared-error');
  expect(found?.parent).toBeCloseTo(squares.reduce((a, b) => a + b, 0) / squares.length, 5);
  expect(found?.result).toBe(0);
});

it.each(['parent', 'result'] as const)('refuses a %s that answers with what is no finite number', async (broken) => {
  const set = reader((indexes) => tensor('labels', 'FP32', [indexes.length, 3], new Uint8Array(12 * indexes.length)));
  const graphs = { parent: times[1]!, result: times[1]!, [broken]: times[Infinity]! };
  const options = { loss: 'mse', output: 'y', batchSize: 4 } as const;
  const sets = [{ dataset: 'a@1', role: 'held-out', reader: set as DatasetReader }] as const;
  await expect(evaluateSets(sets, graphs, options, () => undefined, never)).rejects.toMatchObject({
    code: 'no-number',
    message: expect.stringMatching(/answers samples of a@1 with what is no finite number/),
    field: broken === 'parent' ? 'parent' : 'parameters/learningRate',
  });
});

it('ends with what the memory limit, or the signal, says', async () => {
  const set = reader((indexes) => tensor('labels', 'INT64', [indexes.length], new Uint8Array(8 * indexes.length)));
  const graphs = { parent: times[1]!, result: times[1]! };
  const options = { loss: 'cross-entropy', output: 'y', batchSize: 2 } as const;
  const sets = [{ dataset: 'a@1', role: 'held-out', reader: set as DatasetReader }] as const;
  const full = (): never => {
    throw new RangeError('full');
  };
  await expect(evaluateSets(sets, graphs, options, full, never)).rejects.toThrow('full');
  const stop = new AbortController();
  const first = evaluateSets(sets, graphs, options, () => stop.abort(), stop.signal);
  await expect(first).rejects.toThrow();
});
