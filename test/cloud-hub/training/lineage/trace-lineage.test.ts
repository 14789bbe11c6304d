// Lineage as the database holds it, back to the devices; over two generations that jobs really made.
import { resolveAnswer } from '@tidegate/cloud-hub/training/lineage/resolve-answer.js';
import { lineageSchema, type Lineage } from '@tidegate/shared/wire/training-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import { openTrainingDesk, type TrainingDesk } from '../../../support/training-desk.js';

const folder = temporaryFolders('trace-lineage');
let desk: TrainingDesk;
let child: number;
let grandchild: number;

beforeAll(async () => {
  desk = await openTrainingDesk(folder());
  const digest = await freeze(['device-1', 'device-1', 'device-2', undefined]);
  await desk.addDataset('field', 1, { digest });
  const first = await desk.create(1, { datasets: ['field'], label: 'child' });
  child = (await desk.reaches(first.id, 'succeeded')).version!;
  const second = await desk.create(1, { parent: 'child', datasets: ['field', 'hard@1'], slices: ['slice'] });
  grandchild = (await desk.reaches(second.id, 'succeeded')).version!;
});
afterAll(() => desk.closing.run());

/** Samples of these devices (undefined: of an import) and one that the database does not know, as a manifest in the content store. */
async function freeze(devices: readonly (string | undefined)[]): Promise<string> {
  const ids = [...devices.keys()].map((at) => sha256(`sample ${at}`));
  for (const [at, device] of devices.entries()) {
    await desk.parts.db
      .insertInto('samples')
      .values({
        id: ids[at]!,
        model: 'tiny',
        version: 1,
        version_digest: null,
        variant_digest: null,
        variant: null,
        device_id: device ?? null,
        batch: device === undefined ? 'old-scans' : null,
        captured_at_ms: 1,
        received_at_ms: 1,
        confidence: null,
        reason: device === undefined ? 'import' : 'low-confidence',
        inputs_digest: ids[at]!,
        inputs: '[]',
        size_bytes: 1,
        answer: null,
        state: 'labelled',
        label: '1',
        label_source: 'person',
        proposed_label: null,
        proposed_confidence: null,
        proposed_version: null,
      } as never)
      .execute();
  }
  const item = { label: '1', split: 'train', shard: 0, offsetBytes: 0, sizeBytes: 1 };
  const items = [...ids, sha256('gone')].sort().map((id) => ({ id, inputsDigest: id, ...item }));
  const shards = [{ digest: sha256('shard'), sizeBytes: 1 }];
  const manifest = { kind: 'dataset', model: 'tiny', heldOut: 0.2, shards, items };
  return desk.parts.content.putBytes(Buffer.from(JSON.stringify(manifest)));
}

const sourcesOf = ({ edges }: Lineage, id: string): string[] =>
  edges.flatMap(({ from, to }) => (to === id ? [from] : [])).sort();

test('leads from a version over its job to its parents, datasets and devices', async () => {
  const lineage = await desk.training.trace('tiny', String(grandchild));
  expect(lineageSchema.parse(lineage)).toEqual(lineage);
  expect(lineage.nodes[0]).toMatchObject({
    id: `version:tiny@${grandchild}`,
    kind: 'version',
    facts: { state: 'ready', evaluation: 'passed' },
  });
  const [job = ''] = sourcesOf(lineage, `version:tiny@${grandchild}`);
  expect(sourcesOf(lineage, job)).toEqual([
    'dataset:field@1',
    'dataset:hard@1',
    'dataset:slice@1',
    `version:tiny@${child}`,
  ]);
  expect(lineage.nodes.find(({ id }) => id === job)?.facts).toMatchObject({
    optimizer: 'adamw',
    seed: 1,
    'accuracy held-out field@1': '0.8 -> 0.9',
  });
  const [firstJob = ''] = sourcesOf(lineage, `version:tiny@${child}`);
  expect(sourcesOf(lineage, firstJob)).toEqual(['dataset:field@1', 'version:tiny@1']);
  expect(sourcesOf(lineage, 'version:tiny@1')).toEqual([]);
  expect(lineage.nodes.find(({ id }) => id === 'version:tiny@1')?.facts).toMatchObject({ origin: 'published' });
});

test('groups samples by device and import, with their counts, and names those it does not know', async () => {
  const lineage = await desk.training.trace('tiny', String(child));
  const samples = lineage.nodes.filter(({ kind }) => kind === 'samples');
  expect(Object.fromEntries(samples.map(({ id, facts }) => [id, facts['count']]))).toEqual({
    'samples:field@1/device-1': 2,
    'samples:field@1/device-2': 1,
    'samples:field@1/old-scans': 1,
    'samples:field@1/unknown': 1,
  });
  expect(new Set(lineage.edges.map(({ to }) => to))).toContain('dataset:field@1');
});

test('a version that nobody trained stands alone', async () => {
  const { nodes, edges } = await desk.training.trace('tiny', '1');
  expect(nodes.map(({ id }) => id)).toEqual(['version:tiny@1']);
  expect(edges).toEqual([]);
});

test('an answer’s digests lead to its version: the version’s own and the variant’s', async () => {
  const { registry } = desk.registry;
  const modules = { db: desk.parts.db, registry };
  const version = await registry.version('tiny', 'child');
  const [variant] = await registry.variants('tiny', child);
  for (const spec of [
    String(child),
    'child',
    version!.digest,
    version!.digest.slice(7, 20),
    variant!.variantDigest,
    variant!.variantDigest.slice(7, 20),
  ]) {
    expect(await resolveAnswer(modules, 'tiny', spec)).toBe(child);
  }
  await expect(resolveAnswer(modules, 'tiny', '99')).rejects.toMatchObject({ code: 'not-found', field: 'version' });
  await expect(resolveAnswer(modules, 'nobody', '1')).rejects.toMatchObject({ code: 'not-found' });
});
