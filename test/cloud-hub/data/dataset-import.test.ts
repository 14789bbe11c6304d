// What an import may ask and send, over a real database and store; freezing is dataset-service.test.ts's.
import { DataError } from '@tidegate/cloud-hub/data/data-error.js';
import { DatasetImport } from '@tidegate/cloud-hub/data/dataset-import.js';
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import type { CatalogueEntry } from '@tidegate/cloud-hub/inference/catalogue.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { encodeSample, sampleId } from '@tidegate/shared/wire/sample.js';
import { encodeFrames } from '@tidegate/shared/wire/sample-frames.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digitSample } from '../../support/captured-samples.js';
import { digitInput } from '../../support/digit-inputs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-import');
const imported = (seed: number): Uint8Array =>
  encodeSample({
    facts: { model: 'digits', capturedAtMs: 0, reason: 'import' },
    inputs: digitInput(seed),
    outputs: [],
  });
const BODY = imported(1);
const ID = sampleId(BODY);
const take = (...frames: [Uint8Array, string][]) =>
  imports.take(encodeFrames(frames.map(([body, label]) => ({ body, label }))), 'clean');
let db: Database;
let imports: DatasetImport;

beforeEach(async () => {
  db = await openSqlite(':memory:');
  const content = await ContentStore.open({ folder: folder() }, systemFiles);
  imports = new DatasetImport({
    db,
    intake: new SampleIntake({ db, content, events: new HubEvents(silentLog), clock: new ManualClock() }),
    classes: {
      check: async (_model, label) => {
        if (!/^[0-9]$/.test(label)) throw new DataError('invalid', `${label} is no class`, { field: 'label' });
      },
    },
    catalogue: {
      find: (model) =>
        model !== 'digits'
          ? undefined
          : ({
              variant: { version: 3 },
              yaml: { inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }] },
            } as unknown as CatalogueEntry),
    },
    datasets: { import: () => Promise.reject(new Error('not asked for')) },
  });
});
afterEach(() => db.destroy());

test('a model says what its samples are made of', () => {
  const inputs = [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }];
  expect(imports.target('digits')).toEqual({ model: 'digits', version: 3, inputs });
  expect(() => imports.target('letters')).toThrow('no ready version of a model letters');
});

test('only what the hub lacks is asked for', async () => {
  const others = Array.from({ length: 1200 }, (_, i) => sha256(String(i)));
  const ask = () => imports.missing({ model: 'digits', labels: ['1', '2'], ids: [...others, ID] });
  expect(await ask()).toEqual([...others, ID]);
  expect(await take([BODY, '1'], [imported(2), '2'])).toEqual({ taken: 2, added: 2 });
  expect(await take([BODY, '1'], [BODY, '1'], [imported(3), '3'])).toEqual({ taken: 3, added: 1 });
  expect(await ask()).toEqual(others);
  const rows = await db.selectFrom('samples').select(['label', 'state', 'batch']).orderBy('label').execute();
  expect(rows).toEqual(['1', '2', '3'].map((label) => ({ label, state: 'labelled', batch: 'clean' })));
});

test('labels that the model doesn’t know are refused before anything is sent, with a sample, and with the list', async () => {
  const unknown = expect.objectContaining({ code: 'invalid', field: 'label' }) as unknown;
  await expect(imports.missing({ model: 'digits', labels: ['1', 'seven'], ids: [] })).rejects.toEqual(unknown);
  await expect(take([BODY, 'seven'])).rejects.toEqual(unknown);
  await expect(take([BODY, ''])).rejects.toEqual(unknown);
  const request = { model: 'digits', heldOut: 0, items: [{ id: ID, label: 'seven' }] };
  await expect(imports.freeze('clean', request, 'token:ci')).rejects.toEqual(unknown);
});

test('of a body with something wrong nothing is taken', async () => {
  const invalid = (field: string) => expect.objectContaining({ code: 'invalid', field }) as unknown;
  await expect(take([BODY, '1'], [digitSample(2), '1'])).rejects.toEqual(invalid('reason'));
  await expect(take([BODY, '1'], [Buffer.from('no sample'), '1'])).rejects.toEqual(invalid('header'));
  await expect(take([BODY, '1'], [imported(2), 'x'])).rejects.toEqual(invalid('label'));
  await expect(imports.take(Buffer.from('no frames'), 'clean')).rejects.toEqual(invalid('body'));
  expect(await db.selectFrom('samples').selectAll().execute()).toEqual([]);
});
