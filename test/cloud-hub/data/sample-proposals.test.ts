// What the hub's model proposes: asked once per version, kept, refused with a reason. The model here is a stand-in that implements the
// serving port; test/cloud-hub/api/sample-routes.test.ts asks a real one.
import { SampleIntake } from '@tidegate/cloud-hub/data/sample-intake.js';
import { SampleProposals } from '@tidegate/cloud-hub/data/sample-proposals.js';
import { SampleService } from '@tidegate/cloud-hub/data/sample-service.js';
import { HubEvents } from '@tidegate/cloud-hub/hub-events.js';
import type { CatalogueEntry } from '@tidegate/cloud-hub/inference/catalogue.js';
import { listAudit, recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { InferenceService } from '@tidegate/shared/serving/inference-service.js';
import { ServingError, type ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addDigits, digitSample } from '../../support/captured-samples.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

type Infer = InferenceService['infer'];

const folder = temporaryFolders('sample-proposals');
const never = new AbortController().signal;
const clock = new ManualClock();
let db: Database;
let intake: SampleIntake;
let samples: SampleService;
let proposals: SampleProposals;
let heard: LiveEvent[];
let asked: Parameters<Infer>[0][];
let answer: (request: Parameters<Infer>[0]) => Promise<string>;
/** The newest ready version; none where undefined. */
let newest: number | undefined;
let outputs: unknown[];

beforeEach(async () => {
  db = await openSqlite(':memory:');
  const content = await ContentStore.open({ folder: folder() }, systemFiles);
  const events = new HubEvents(silentLog);
  heard = [];
  asked = [];
  newest = 1;
  answer = async () => '7';
  outputs = [{ name: 'label', datatype: 'BYTES', shape: [-1] }];
  const changes = { db, events, clock, audit: recordAudit };
  intake = new SampleIntake({ db, content, events, clock });
  samples = new SampleService({ ...changes, content, intake, classes: { check: async () => undefined } });
  const infer: Infer = async (request) => {
    asked.push(request);
    const label = tensor('label', 'BYTES', [1], encodeBytes([Buffer.from(await answer(request))]));
    return { model: 'digits', version: '1', outputs: [label], provenance: { confidence: 0.75 } as never };
  };
  const find = (model: string): CatalogueEntry | undefined =>
    newest === undefined || model !== 'digits'
      ? undefined
      : ({ variant: { model, version: newest }, yaml: { outputs } } as unknown as CatalogueEntry);
  proposals = new SampleProposals({
    ...changes,
    samples,
    inference: { infer },
    catalogue: { find, names: () => ['digits', 'other'] },
  });
  await addDigits(db, content);
  events.on((event) => heard.push(event));
});
afterEach(() => db.destroy());

const take = async (seed: number): Promise<Digest> => (await intake.take(digitSample(seed), { device: 'd1' })).id;

describe('a proposal', () => {
  test('is asked of the newest version for the answer alone, at the lowest priority, and kept', async () => {
    const id = await take(1);
    heard.length = 0;
    const view = await proposals.propose(id, 'token:ann', never);
    expect(view).toMatchObject({ state: 'new', proposal: { label: '7', confidence: 0.75, version: 1 } });
    expect(asked).toMatchObject([
      { model: 'digits', version: '1', outputs: ['label'], priority: 10, placement: 'hub' },
    ]);
    expect(asked[0]?.inputs.map(({ name, shape }) => [name, shape])).toEqual([['image', [1, 1, 28, 28]]]);
    expect(heard).toEqual([{ kind: 'sample', sample: view }]);
    expect(await listAudit(db, { limit: 9 })).toMatchObject([
      { actor: 'token:ann', action: 'sample.propose', subject: id },
    ]);
  });

  test('is asked once of a version, also by two at once; a newer version is asked again', async () => {
    const id = await take(1);
    await Promise.all([1, 2, 3].map(() => proposals.propose(id, 'a', never)));
    expect((await listAudit(db, { limit: 9 })).length).toBe(1);
    const before = asked.length;
    await proposals.propose(id, 'a', never);
    expect(asked.length).toBe(before);
    newest = 2;
    answer = async () => '8';
    expect((await proposals.propose(id, 'a', never)).proposal).toEqual({ label: '8', confidence: 0.75, version: 2 });
  });

  test('needs a ready version, and an answer that is a text', async () => {
    const id = await take(1);
    outputs = [{ name: 'logits', datatype: 'FP32', shape: [-1, 10] }];
    await expect(proposals.propose(id, 'a', never)).rejects.toMatchObject({
      code: 'conflict',
      message: 'digits@1 names no output that could be a label',
    });
    newest = undefined;
    await expect(proposals.propose(id, 'a', never)).rejects.toMatchObject({ code: 'conflict' });
    newest = 1;
    outputs = [{ name: 'label', datatype: 'BYTES', shape: [-1] }];
    answer = async () => '';
    await expect(proposals.propose(id, 'a', never)).rejects.toMatchObject({ code: 'conflict' });
    expect((await samples.get(id)).proposal).toBeUndefined();
  });

  test.each<[ServingErrorCode, string]>([
    ['invalid-argument', 'invalid'],
    ['not-found', 'conflict'],
    ['queue-full', 'busy'],
    ['deadline-exceeded', 'busy'],
    ['not-ready', 'busy'],
  ])('that the model refuses as %s is %s, with its reason', async (code, expected) => {
    const id = await take(1);
    answer = async () => Promise.reject(new ServingError(code, 'the reason'));
    const refused = { code: expected, message: 'digits@1: the reason' };
    await expect(proposals.propose(id, 'a', never)).rejects.toMatchObject(refused);
  });

  test('of an executor that failed is no refusal', async () => {
    const id = await take(1);
    answer = async () => Promise.reject(new ServingError('failed', 'the executor ended'));
    await expect(proposals.propose(id, 'a', never)).rejects.toMatchObject({ name: 'ServingError', code: 'failed' });
  });
});

describe('proposals for many', () => {
  test('are of the newest that the query picks and that have none', async () => {
    const ids: Digest[] = [];
    for (let seed = 0; seed < 6; seed += 1) {
      ids.push(await take(seed));
      clock.advance(1);
    }
    await samples.reject(ids[5] as Digest, 'a');
    expect(await proposals.proposeMany('state=new', 2, 'a', never)).toEqual({
      proposed: 2,
      failed: 0,
      failures: [],
      more: true,
    });
    const having = (await samples.list({ limit: 9 })).items.filter(({ proposal }) => proposal !== undefined);
    expect(having.map(({ id }) => id)).toEqual([ids[4], ids[3]]);
    expect(await proposals.proposeMany('state=new', 9, 'a', never)).toMatchObject({ proposed: 3, more: false });
    expect(await proposals.proposeMany('state=new', 9, 'a', never)).toMatchObject({ proposed: 0, more: false });
    newest = 2;
    expect(await proposals.proposeMany(undefined, 9, 'a', never)).toMatchObject({ proposed: 6 });
    newest = undefined;
    expect(await proposals.proposeMany(undefined, 9, 'a', never)).toMatchObject({ proposed: 0, more: false });
  });

  test('go on past one that fails, and say which', async () => {
    const ids = [await take(1), await take(2), await take(3)];
    let calls = 0;
    answer = async () => {
      calls += 1;
      if (calls === 1) throw new ServingError('invalid-argument', 'image: is too small');
      if (calls === 2) throw new ServingError('failed', 'the executor ended');
      return '7';
    };
    const done = await proposals.proposeMany(undefined, 9, 'a', never);
    expect([done.proposed, done.failed, done.more]).toEqual([1, 2, false]);
    expect(done.failures.map(({ reason }) => reason).sort()).toEqual([
      'digits@1: image: is too small',
      'the executor ended',
    ]);
    for (const { id } of done.failures) expect(ids).toContain(id);
  });

  test('begin no more when their time is over', async () => {
    for (let seed = 0; seed < 12; seed += 1) await take(seed);
    answer = async () => {
      clock.advance(31_000);
      return '7';
    };
    const done = await proposals.proposeMany(undefined, 12, 'a', never);
    expect(done.more).toBe(true);
    expect(done.proposed).toBeLessThan(12);
  });

  test('end when the caller goes away, and refuse a wrong query', async () => {
    await take(1);
    const controller = new AbortController();
    answer = async () => {
      controller.abort(new Error('gone'));
      throw new ServingError('cancelled', 'the client went away');
    };
    await expect(proposals.proposeMany(undefined, 9, 'a', controller.signal)).rejects.toThrow('gone');
    await expect(proposals.proposeMany('colour=red', 9, 'a', never)).rejects.toMatchObject({ field: 'where' });
  });
});
