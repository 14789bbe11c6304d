// What an operator types, as functions: the command line, and the rollouts that the story waits for.
import { until } from './hub-api.mjs';
import { run } from './processes.mjs';

export const GROUP = 'shop';
/** What a fleet operator would call hasty; a demo has no week. */
const GATE = ['--soak', '3s', '--probation', '2s', '--silent-after', '60s', '--max-p99-ratio', '4'];
/** Least requests per wave: text lines are asked for less often than digits. */
const LEAST_REQUESTS = { digits: '60', 'ocr-line': '12' };

export function cli(world, args) {
  return run('tidegate', args, {
    env: { TIDEGATE_HUB: `http://${world.hub.addresses.http}`, TIDEGATE_TOKEN: world.token },
  });
}

export async function json(world, args) {
  return JSON.parse(await cli(world, [...args, '--json']));
}

export async function publishVersion(world, folder, version) {
  await cli(world, ['model', 'publish', folder]);
  const published = await world.api.get(`/api/v1/models/digits/versions/${version}`);
  if (published.state !== 'ready') throw new Error(`digits@${version} is ${published.state}: ${published.detail}`);
}

/** Resolves with the rollout once it has completed, or was halted and is rolled back. */
export async function rollout(world, model, version, { withinMs = 90_000 } = {}) {
  const started = await json(world, [
    ...['rollout', 'start', `${model}@${version}`, '--group', GROUP, '--waves', '10%,50%,100%'],
    ...GATE,
    ...['--min-requests', LEAST_REQUESTS[model]],
  ]);
  return until(
    `the rollout of ${model}@${version}`,
    () => world.api.get(`/api/v1/rollouts/${started.id}`),
    (seen) => seen.state === 'completed' || (seen.state === 'halted' && seen.rolledBack),
    { withinMs },
  );
}

export function expect(actual, wanted, what) {
  if (actual !== wanted) throw new Error(`${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(wanted)}`);
}
