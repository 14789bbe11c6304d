// B17: what a version switch costs the requests that are answered meanwhile. Digits at a steady pace, rounds without a switch and
// rounds with one after the other, 50 in all: a new version number in model.yaml, and `load` of the model repository's protocol.
// No answer may fail; that each names one version is held in test/e2e.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startAgent } from './agent.mjs';
import { startScript } from './processes.mjs';
import { digitsRequest, writeRequest } from './requests.mjs';
import { figures, ratio } from './statistics.mjs';

const DIGITS = fileURLToPath(new URL('../examples/digits', import.meta.url));
const PER_SECOND = 200;
const SWITCHES = 50;
const BETWEEN_MS = 200;
const TARGET = 1.2;

/** Puts the next version in the folder and loads it; resolves when it answers. */
async function switchVersion(agent, folder, version) {
  const path = join(folder, 'model.yaml');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^version: .*$/m, `version: '${version}'`));
  const response = await fetch(`${agent.url}/v2/repository/models/digits/load`, { method: 'POST' });
  if (!response.ok) throw new Error(`load answered ${response.status}: ${await response.text()}`);
}

export async function versionSwitches({ folder, rounds, warmUpMs, say }) {
  const packageFolder = join(folder, 'digits');
  cpSync(DIGITS, packageFolder, { recursive: true });
  const agent = await startAgent([packageFolder], ['--threads', '1']);
  const request = writeRequest(folder, digitsRequest([['tidegate-cache', 'bypass']]));
  const load = await startScript('paced-load.mjs', [agent.host, agent.port, request, String(PER_SECOND)]);
  await load.ask(warmUpMs);
  const each = Math.ceil(SWITCHES / rounds);
  const steady = [];
  const switching = [];
  let version = 1;
  for (let i = 0; i < rounds; i += 1) {
    const startedMs = performance.now();
    for (let k = 0; k < 2; k += 1) await switchVersion(agent, packageFolder, (version += 1)); // how long a round must be
    const roundMs = Math.ceil((performance.now() - startedMs) / 2 + BETWEEN_MS) * each;
    steady.push(await load.ask(roundMs));
    const asked = load.ask(roundMs);
    asked.catch(() => {}); // awaited below: until then nobody hears a failure
    for (let k = 0; k < each; k += 1) {
      await switchVersion(agent, packageFolder, (version += 1));
      await delay(BETWEEN_MS);
    }
    switching.push(await asked);
    say(`version switches: round ${i + 1} of ${rounds}`);
  }
  await Promise.all([load.stop(), agent.stop()]);
  const shown = { 'p50 ms': (one) => one.p50Ms, 'p99 ms': (one) => one.p99Ms };
  return [
    {
      name: 'Version switches',
      about: `digits ${PER_SECOND} times a second, with one switch after the other (${each * rounds} in all) and with none; no answer failed`,
      contestants: {
        steady: { figures: figures(steady, shown) },
        switching: {
          figures: {
            ...figures(switching, shown),
            ...figures(switching, { 'versions that answered': ({ digests }) => digests }),
          },
        },
      },
      ratios: [{ what: 'p99, switching / steady', ...ratio(switching, steady, ({ p99Ms }) => p99Ms), atMost: TARGET }],
    },
  ];
}
