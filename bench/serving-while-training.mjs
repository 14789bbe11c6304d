// What a training job costs the requests that the same hub answers: p50 and p99 of digits asked for at a steady pace, while nothing is
// trained and while a job runs with the hub's own defaults. The pace is low, so that requests don't measure each other.
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writePictures } from '../examples/demo/digit-pictures.mjs';
import { handwrittenDigits } from '../examples/demo/hard-digits.mjs';
import { HubApi, until } from '../examples/demo/hub-api.mjs';
import { digitInput, infer } from '../examples/demo/oip.mjs';
import { killAll, run, start, stop } from '../examples/demo/processes.mjs';
import { figures, spread } from './statistics.mjs';

const DIGITS = fileURLToPath(new URL('../examples/digits', import.meta.url));
const EVERY_MS = 20;
const GOLDENS = JSON.parse(readFileSync(join(DIGITS, 'goldens.json'), 'utf8'));

async function startHub(folder) {
  const dataDir = join(folder, 'hub');
  const token = (await run('tidegate-hub', ['init', '--data-dir', dataDir])).trim();
  const ports = ['--http-port', '0', '--grpc-port', 'off', '--device-port', '0', '--mqtt-port', '0'];
  const hub = await start('tidegate-hub', ['serve', '--data-dir', dataDir, ...ports], {
    logFile: join(folder, 'hub.log'),
  });
  const env = { TIDEGATE_HUB: `http://${hub.addresses.http}`, TIDEGATE_TOKEN: token };
  const cli = (args) => run('tidegate', args, { env });
  await cli(['model', 'publish', DIGITS]);
  const { pool } = handwrittenDigits({ pool: 600, heldOut: 0, clean: 0 });
  await writePictures(join(folder, 'pictures'), pool);
  await cli(['dataset', 'import', join(folder, 'pictures'), '--model', 'digits', '--name', 'pool']);
  return { hub, token, api: new HubApi(hub.addresses.http, token), cli };
}

/** Latencies of a round at a steady pace, in ms. */
async function round({ hub, token }, roundMs) {
  const times = [];
  const asked = [];
  const failures = [];
  const startedMs = performance.now();
  for (let i = 0; performance.now() - startedMs < roundMs; i += 1) {
    const { data } = GOLDENS[i % GOLDENS.length].inputs.image;
    const headers = { authorization: `Bearer ${token}` };
    asked.push(
      infer(hub.addresses.http, 'digits', digitInput(data), {}, { headers }).then(
        ({ totalMs }) => times.push(totalMs),
        (error) => failures.push(error), // kept until the end: an unheard one would end this process
      ),
    );
    const restMs = startedMs + (i + 1) * EVERY_MS - performance.now();
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
  }
  await Promise.all(asked);
  if (failures.length > 0) throw failures[0];
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(sorted.length * share)];
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function startJob({ api, cli }) {
  const job = JSON.parse(
    await cli([
      ...['train', '--model', 'digits', '--parent', '1', '--dataset', 'pool@1'],
      ...['--epochs', '10000', '--detach', '--json'],
    ]),
  );
  const running = ({ state, progress }) => state === 'running' && (progress?.step ?? 0) > 5;
  await until('the training', () => api.get(`/api/v1/jobs/${job.id}`), running, { withinMs: 60_000 });
  return async () => {
    await cli(['job', 'cancel', job.id]);
    const ended = ({ state }) => state === 'cancelled';
    const last = await until('the end of it', () => api.get(`/api/v1/jobs/${job.id}`), ended, { withinMs: 60_000 });
    return last.progress.samplesPerSecond;
  };
}

export async function servingWhileTraining({ folder, rounds, roundMs, say }) {
  try {
    return await measure(await startHub(folder), rounds, roundMs, say);
  } finally {
    killAll();
  }
}

async function measure(world, rounds, roundMs, say) {
  await round(world, 3000);
  const idle = [];
  const training = [];
  const samplesPerSecond = [];
  for (let i = 0; i < rounds; i += 1) {
    idle.push(await round(world, roundMs));
    const cancel = await startJob(world);
    training.push(await round(world, roundMs));
    samplesPerSecond.push(await cancel());
    say(`serving while training: round ${i + 1} of ${rounds}`);
  }
  await stop(world.hub);
  const percentiles = { 'p50 ms': ({ p50Ms }) => p50Ms, 'p99 ms': ({ p99Ms }) => p99Ms };
  const ratioOf = (key) => spread(training.map((one, i) => one[key] / idle[i][key]));
  return [
    {
      name: 'Serving while training',
      about: `the hub's answers, digits ${1000 / EVERY_MS} a second, while a job runs with the hub's defaults and while none does`,
      contestants: {
        idle: { figures: figures(idle, percentiles) },
        training: {
          figures: {
            ...figures(training, percentiles),
            'samples trained / s': spread(samplesPerSecond),
          },
        },
      },
      ratios: [
        { what: 'p50, training / idle', ...ratioOf('p50Ms') },
        { what: 'p99, training / idle', ...ratioOf('p99Ms') },
      ],
    },
  ];
}
