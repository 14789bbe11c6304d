// Tidegate's own measurements, each beside its yardstick in the same minutes of the same machine; ratios count, numbers don't.
// `npm run bench -- --help` says what there is; README.md says what each row is and how long it takes.
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { alternating } from './alternating.mjs';
import { cacheHits } from './cache-hits.mjs';
import { coldLoad } from './cold-load.mjs';
import { loadUnload } from './load-unload.mjs';
import { memory } from './memory.mjs';
import { ocr } from './ocr.mjs';
import { fairness } from './fairness.mjs';
import { overload } from './overload.mjs';
import { PEERS } from './peers/peers.mjs';
import { stopAll } from './processes.mjs';
import { asText } from './report.mjs';
import { save } from './save.mjs';
import { sharedExecutors } from './shared-executors.mjs';
import { servingWhileTraining } from './serving-while-training.mjs';
import { split } from './split.mjs';
import { stoppedHub } from './stopped-hub.mjs';
import { throughput } from './throughput.mjs';
import { training } from './training.mjs';
import { twoModels } from './two-models.mjs';
import { versionSwitches } from './version-switches.mjs';

/** Name -> what it measures, and a function that gets `{ folder, rounds, roundMs, warmUpMs, quick, peers, say }` and answers results (report.mjs). */
const ROWS = {
  throughput: ['HTTP infer against bare loops and other servers (P1, P2, P11)', throughput],
  overload: ['twice what the machine can answer, mixed deadlines (P3)', overload],
  p4: ['cache hits against plain node:http', cacheHits],
  'cold-load': ['loading a known model, and four of it at once (P10)', coldLoad],
  'load-unload': ['memory after 1,000 loads and 200 that are refused (B21)', loadUnload],
  alternating: ['two models over the memory budget, asked in turns (B22)', alternating],
  fairness: ['a caller beside another at 100 times its rate', fairness],
  'two-models': ['two models on the same cores, one of them flooded', twoModels],
  hub: ['local answers while the hub is stopped', stoppedHub],
  split: ['a pipeline between a slow device and a hub, over three links', split],
  sharing: ['eight small models in one executor against eight', sharedExecutors],
  memory: ['memory of four instances against one, and of an idle agent (P10)', memory],
  ocr: ['full OCR against RapidOCR', ocr],
  switches: ['answers while versions switch (B17)', versionSwitches],
  training: ['a training step against PyTorch (P8)', training],
  serving: ["the hub's answers while it trains", servingWhileTraining],
};
const RESULTS = fileURLToPath(new URL('results', import.meta.url));
/** Until V8 has compiled what is hot: before that, compiling takes a third of the time of a 1 ms model's answer. */
const WARM_UP_MS = 8_000;
const QUICK = { rounds: 3, roundMs: 800, warmUpMs: 2_500 };

const HELP = `npm run bench -- [options]

  --only NAMES      some of the rows, separated by commas:
${Object.entries(ROWS)
  .map(([name, [about]]) => `                      ${name.padEnd(12)} ${about}`)
  .join('\n')}
  --peers NAMES     other servers to install and measure: ${Object.keys(PEERS)} (all), or none
  --rounds N        rounds of each contestant, in turns (5)
  --round-ms MS     length of a round (2000)
  --quick           3 rounds of 0.8 s after shorter warm-up: to see that it works, the figures are rough
  --save            write DATE.json, DATE.md and plots to bench/results
  --json            print JSON instead of tables
  --help
`;

function namesOf(flag, text, known) {
  const names = text.split(',');
  const unknown = names.filter((name) => known[name] === undefined);
  if (unknown.length > 0)
    throw new Error(`${flag}: nothing is called ${unknown.join()}; there are ${Object.keys(known)}`);
  return names;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: Object.keys(ROWS).join() },
      peers: { type: 'string', default: Object.keys(PEERS).join() },
      rounds: { type: 'string' },
      'round-ms': { type: 'string' },
      quick: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const only = namesOf('--only', values.only, ROWS);
  const peers = values.peers === 'none' ? [] : namesOf('--peers', values.peers, PEERS);
  const usual = values.quick ? QUICK : { rounds: 5, roundMs: 2_000, warmUpMs: WARM_UP_MS };
  const count = (name, text, otherwise) => {
    if (text === undefined) return otherwise;
    if (!/^[1-9]\d{0,6}$/.test(text)) throw new Error(`${name}: "${text}" is no number from 1 to 9999999`);
    return Number(text);
  };
  const rounds = count('--rounds', values.rounds, usual.rounds);
  const roundMs = count('--round-ms', values['round-ms'], usual.roundMs);
  return { ...values, only, peers, rounds, roundMs, warmUpMs: usual.warmUpMs };
}

async function main(options) {
  const say = (text) => process.stderr.write(`${text}\n`);
  const { rounds, roundMs, warmUpMs, quick, peers } = options;
  const run = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}`,
    settings: `${rounds} rounds of ${roundMs} ms; load average before the run ${loadavg()[0].toFixed(2)}`,
    results: [],
    failures: [],
    seconds: {},
  };
  say(`${run.machine}; ${run.settings}`);
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-'));
  process.once('exit', () => {
    stopAll(); // whatever ended this process: no server outlives it
    rmSync(folder, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));
  for (const name of options.only) {
    const startedMs = performance.now();
    try {
      const results = await ROWS[name][1]({ folder, rounds, roundMs, warmUpMs, quick, peers, say });
      run.results.push(...results);
      if (!options.json) for (const result of results) console.log(`\n${asText(result)}`);
    } catch (error) {
      run.failures.push({ row: name, reason: error.message });
      say(`${name} FAILED: ${error.stack}`);
    }
    stopAll();
    run.seconds[name] = Math.round((performance.now() - startedMs) / 1000);
    say(`${name}: ${run.seconds[name]} s`);
    if (options.save) say(`saved: ${save(RESULTS, run)}`);
  }
  if (options.json) console.log(JSON.stringify(run, undefined, 2));
  process.exitCode = run.failures.length > 0 ? 1 : 0;
}

try {
  const options = readOptions();
  if (options.help) process.stdout.write(HELP);
  else await main(options);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
