import { missingSamples, takeImported } from '@tidegate/cloud-hub/data/dataset-import.js';
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { encodeSample, sampleId } from '@tidegate/shared/wire/sample.js';
import { expect, test } from 'vitest';
import { digitSample } from '../../support/captured-samples.js';
import { digitInput } from '../../support/digit-inputs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('dataset-import');

test('only what the hub lacks is asked for, and what is no import, or not what its digest says, is not taken', async () => {
  const db = await openSqlite(':memory:');
  const content = await ContentStore.open({ folder: folder() }, systemFiles);
  const intake = new SampleIntake({ db, content, events: new HubEvents(silentLog), clock: new ManualClock() });
  const facts = { model: 'digits', capturedAtMs: 0, reason: 'import' } as const;
  const body = encodeSample({ facts, inputs: digitInput(1), outputs: [] });
  const id = sampleId(body);
  const batch = 'clean';
  const others = Array.from({ length: 1200 }, (_, i) => sha256(String(i)));
  expect(await missingSamples(db, [...others, id])).toEqual([...others, id]);
  expect(await takeImported(intake, body, { id, batch, label: '1' })).toEqual({ id, added: true });
  expect(await takeImported(intake, body, { id, batch, label: '1' })).toEqual({ id, added: false });
  expect(await missingSamples(db, [...others, id])).toEqual(others);
  const wrong = takeImported(intake, body, { id: sha256('other'), batch, label: '1' });
  await expect(wrong).rejects.toMatchObject({ code: 'invalid', field: 'hex' });
  const captured = digitSample(2);
  const foreign = takeImported(intake, captured, { id: sampleId(captured), batch, label: '1' });
  await expect(foreign).rejects.toMatchObject({ code: 'invalid', field: 'reason' });
  const noise = Buffer.from('no sample');
  await expect(takeImported(intake, noise, { id: sha256(noise), batch, label: '1' })).rejects.toMatchObject({
    code: 'invalid',
    field: 'header',
  });
  await db.destroy();
});
