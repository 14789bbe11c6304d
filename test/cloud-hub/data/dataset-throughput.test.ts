// Reading a dataset through once, with examples/digits; over HTTP it is in dataset-routes.test.ts.
import { fileURLToPath } from 'node:url';
import { DatasetThroughput } from '@tidegate/cloud-hub/data/dataset-throughput.js';
import { DataError } from '@tidegate/cloud-hub/data/data-error.js';
import type { CatalogueEntry } from '@tidegate/cloud-hub/inference/catalogue.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import type { DatasetVersion } from '@tidegate/shared/wire/data-api.js';
import { expect, test } from 'vitest';
import { digitSample } from '../../support/captured-samples.js';
import { freezeBodies } from '../../support/frozen-dataset.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-throughput');
const DIGITS = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
const NEVER = new AbortController().signal;

async function opened(model = 'digits'): Promise<DatasetThroughput> {
  const content = await ContentStore.open({ folder: folder() }, systemFiles);
  const bodies = Array.from({ length: 70 }, (_, seed) => ({ body: digitSample(seed), label: String(seed % 10) }));
  const digest = await freezeBodies(content, bodies, { heldOut: 0.5 });
  return new DatasetThroughput({
    datasets: {
      get: async (name, version) => {
        if (version !== '1') throw new DataError('not-found', 'no such version', { field: 'version' });
        return { name, version: 1, digest, model } as DatasetVersion;
      },
    },
    catalogue: {
      find: (asked) => (asked === 'digits' ? ({ variant: { version: 4 } } as CatalogueEntry) : undefined),
    },
    registry: { materialise: () => Promise.resolve(DIGITS) },
    content,
    files: systemFiles,
    clock: systemClock,
  });
}
const how = { loss: 'cross-entropy' } as const;

test('every sample of both sides is prepared once, and the figures are of that', async () => {
  const read = await (await opened()).measure('hard', '1', how, NEVER);
  expect(read).toMatchObject({ dataset: 'hard@1', package: 'digits@4', samples: 70, bytes: 70 * 784 * 4 });
  expect(read.samplesPerSecond).toBeGreaterThan(70 / (read.elapsedMs / 1000) / 2);
  expect([read.megabytesPerSecond > 0, read.waitShare > 0, read.waitShare <= 1]).toEqual([true, true, true]);
});

test('one is read at a time, the next one after it, and a caller that goes away ends it', async () => {
  const throughput = await opened();
  const stop = new AbortController();
  const first = throughput.measure('hard', '1', how, stop.signal);
  await expect(throughput.measure('hard', '1', how, NEVER)).rejects.toMatchObject({ code: 'busy' });
  stop.abort(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  await expect(throughput.measure('hard', '2', how, NEVER)).rejects.toMatchObject({ code: 'not-found' });
  expect((await throughput.measure('hard', '1', how, NEVER)).samples).toBe(70);
});

test('without a version whose steps could prepare it, or a graph that there isn’t, it says so', async () => {
  const other = (await opened('letters')).measure('hard', '1', how, NEVER);
  await expect(other).rejects.toMatchObject({ code: 'not-found', field: 'model' });
  const graph = (await opened()).measure('hard', '1', { ...how, graph: 'none.onnx' }, NEVER);
  await expect(graph).rejects.toMatchObject({ code: 'invalid', field: 'graph' });
});
