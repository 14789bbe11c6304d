// The data side as the hub composes it: what comes in is what people judge, and what datasets are frozen from.
import { openData } from '@tidegate/cloud-hub/composition/open-data.js';
import { openInference } from '@tidegate/cloud-hub/composition/open-inference.js';
import { openRegistry } from '@tidegate/cloud-hub/composition/open-registry.js';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import { encodeSample } from '@tidegate/shared/wire/sample.js';
import { expect, test } from 'vitest';
import { digitInput } from '../../support/digit-inputs.js';
import { openHubParts } from '../../support/hub-parts.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('open-data');

test('a sample goes from the intake over a person’s judgement into a dataset, and what is deleted is not in the next one', async () => {
  const { parts, closing } = await openHubParts(folder());
  const { registry } = await openRegistry(parts, closing);
  const inference = await openInference(parts, registry, () => [], closing);
  const data = openData(parts, registry, inference, closing);
  const heard: LiveEvent['kind'][] = [];
  parts.events.on(({ kind }) => heard.push(kind));
  const ids = [];
  for (const seed of [1, 2]) {
    const facts = { model: 'digits', capturedAtMs: seed, reason: 'import' } as const;
    const body = encodeSample({ facts, inputs: digitInput(seed), outputs: [] });
    ids.push((await data.intake.take(body, { batch: 'first' })).id);
  }
  const [first, second] = ids;
  if (first === undefined || second === undefined) throw new Error('two samples came in');
  for (const id of ids) await data.samples.label(id, '7', 'token:t');
  const from = { name: 'sevens', from: 'model=digits and label=7', heldOut: 0 };
  expect((await data.datasets.create(from, 'token:t')).version).toMatchObject({ version: 1, count: 2 });
  await data.samples.delete(second, 'token:t');
  expect((await data.datasets.create(from, 'token:t')).version).toMatchObject({ version: 2, count: 1 });
  await expect(data.proposals.propose(first, 'token:t', new AbortController().signal)).rejects.toMatchObject({
    message: 'the hub has no ready version of digits',
  });
  const judged = ['sample', 'sample', 'sample', 'sample', 'dataset', 'sample-deleted', 'dataset'];
  expect(heard).toEqual(judged);
  await closing.run();
});
