// The last part of the loop: what devices find hard becomes samples, a dataset, a training job and a version that is better at it.
// People would label the samples in the console; the demo knows the truth, and says it through the same API.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { writePictures } from './digit-pictures.mjs';
import { handwrittenDigits } from './hard-digits.mjs';
import { until } from './hub-api.mjs';
import { inParallel } from './in-parallel.mjs';
import { digitInput, infer } from './oip.mjs';
import { cli, expect, json, rollout } from './operator.mjs';

const COUNTS = { pool: 2400, heldOut: 600, clean: 1000 };
/** On two cores; longer and nobody would wait for it. */
const TRAINING_AT_MOST_S = 45;
const TRAINING = [
  ...['--epochs', '20', '--batch-size', '32', '--learning-rate', '0.003'],
  ...['--threads', '2', '--label', '1.1-hard'],
];

/** As the hub tells it of each sample (`inputsDigest`): over name, datatype, shape, size and bytes. */
function inputsDigest({ name, datatype, shape, data }) {
  const described = JSON.stringify([name, datatype, shape, data.byteLength]);
  return `sha256:${createHash('sha256').update(described).update(data).digest('hex')}`;
}

/** Every device meets its part of the hard digits, each once. Returns how many it was right about. */
async function meet(world, digits) {
  let right = 0;
  await inParallel(digits, async ({ pixels, expected }, i) => {
    const agent = world.agents[i % world.agents.length].addresses.http;
    const answer = await infer(agent, 'digits', digitInput(pixels), { placement: 'local', cache: 'bypass' });
    if (answer.outputs.label[0] === expected) right += 1;
  });
  return right / digits.length;
}

async function samplesOf(world, where) {
  const samples = [];
  let cursor;
  do {
    const page = await world.api.get(
      `/api/v1/samples?where=${encodeURIComponent(where)}&limit=500${cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
    );
    samples.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return samples;
}

/** Labels what the demo knows the truth of; what everyday traffic left stays for a person to look at. */
async function label(world, samples, truth) {
  await inParallel(samples, ({ id, inputsDigest: inputs }) =>
    world.api.put(`/api/v1/samples/${id.slice('sha256:'.length)}/label`, { label: truth.get(inputs) }),
  );
}

const percent = (share) => `${(100 * share).toFixed(1)}%`;

export async function capture(world, { say, figure }) {
  world.hard = handwrittenDigits(COUNTS);
  const truth = new Map(world.hard.pool.map(({ pixels, expected }) => [inputsDigest(digitInput(pixels)), expected]));
  const share = await meet(world, world.hard.pool);
  say(
    `devices meet ${world.hard.pool.length} digits that are turned, thick and noisy: ${percent(share)} answered right`,
  );
  let before = -1;
  const samples = await until(
    'all samples on the hub',
    async () => (await samplesOf(world, 'model=digits and state=new')).filter((one) => truth.has(one.inputsDigest)),
    (seen) => {
      const settled = seen.length > 0 && seen.length === before;
      before = seen.length;
      return settled;
    },
    { withinMs: 60_000, everyMs: 1500 },
  );
  const counts = { 'low-confidence': 0, 'random-share': 0 };
  for (const { reason } of samples) counts[reason] += 1;
  if (counts['low-confidence'] < COUNTS.pool / 5) {
    throw new Error(`only ${counts['low-confidence']} answers of low confidence arrived as samples`);
  }
  await label(world, samples, truth);
  say(
    `captured, encrypted on the device and sent: ${counts['low-confidence']} answers of low confidence, ` +
      `${counts['random-share']} of a random share; all labelled through the API`,
  );
  figure('accuracyOnMet', Number(share.toFixed(3)));
  figure('captured', counts);
}

export async function learn(world, { say, figure }) {
  const folders = { 'hard-test': join(world.folder, 'hard-test'), clean: join(world.folder, 'clean') };
  await writePictures(folders['hard-test'], world.hard.heldOut);
  await writePictures(folders.clean, world.hard.clean);
  const sides = { 'hard-test': '100%', clean: '0%' };
  for (const [name, folder] of Object.entries(folders)) {
    await cli(world, ['dataset', 'import', folder, '--model', 'digits', '--name', name, '--held-out', sides[name]]);
  }
  await cli(world, ['dataset', 'create', 'hard', '--from', 'model=digits and reason!=import']);
  const hard = (await world.api.get('/api/v1/datasets/hard/versions')).items[0];
  say(`hard@${hard.version}: ${hard.counts.train} samples to learn from, ${hard.counts['held-out']} held out`);
  const { version: parent } = await runningVersion(world);
  const started = performance.now();
  const job = await json(world, [
    ...['train', '--model', 'digits', '--parent', String(parent)],
    ...['--dataset', 'hard@1', '--dataset', 'clean@1', '--slice', 'hard-test@1'],
    ...TRAINING,
  ]);
  const seconds = (Date.parse(job.endedAt) - Date.parse(job.startedAt)) / 1000;
  const slice = job.evaluation.sets.find(({ dataset }) => dataset === 'hard-test@1');
  world.learnt = { version: job.version, before: slice.parent, after: slice.result };
  say(
    `trained on ${job.progress.steps} batches in ${seconds.toFixed(1)} s; ${slice.count} hard digits that nothing trained on: ` +
      `${percent(slice.parent)} right before, ${percent(slice.result)} after`,
  );
  figure('trainingSeconds', Number(seconds.toFixed(1)));
  figure('throughSeconds', Number(((performance.now() - started) / 1000).toFixed(1)));
  figure('before', slice.parent);
  figure('after', slice.result);
  if (seconds > TRAINING_AT_MOST_S) throw new Error(`training took ${seconds} s; at most ${TRAINING_AT_MOST_S}`);
  if (slice.result <= slice.parent) throw new Error('the trained version is no better');
}

export async function rollOutLearnt(world, { say, figure }) {
  const { version, before } = world.learnt;
  const outcome = await rollout(world, 'digits', version);
  expect(outcome.state, 'completed', `rollout of what was learnt (${outcome.reason})`);
  say(`digits@${version}: ${outcome.reason}`);
  const after = await meet(world, world.hard.heldOut);
  say(`on the devices, hard digits that nothing trained on: ${percent(before)} right before, ${percent(after)} now`);
  if (after <= before) throw new Error('the devices are no better at it');
  say(await cli(world, ['model', 'lineage', `digits@${version}`]));
  figure('version', version);
  figure('onDevices', Number(after.toFixed(3)));
}

async function runningVersion(world) {
  const { items } = await world.api.get('/api/v1/devices');
  return items[0].models.find(({ name }) => name === 'digits').running;
}
