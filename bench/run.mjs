// Tidegate's own measurements, each beside its yardstick in the same minutes of the same machine; ratios count, numbers don't.
//
//   npm run bench                      all
//   npm run bench -- --only p4         one of p1, p4, hub, training, serving
//   npm run bench -- --rounds 9 --round-ms 3000 --json
//
// P1: HTTP infer with binary tensors through `tidegate-agent serve`, one run at a time on one ONNX Runtime thread, against a bare
//     loop of runs in one process: the same engine, and onnxruntime-node by itself. A ~20 ms and a ~1 ms model.
// P4: cache hits per second against a plain node:http server that reads the body, hashes it and answers the same bytes.
// training (P8): a training step of three networks against PyTorch's on as many threads (training.mjs).
// serving: p50 and p99 of the hub's answers while it trains, against while it doesn't (serving-while-training.mjs).
// hub: p99 of local answers while the hub is stopped, against while it answers (stopped-hub.mjs).
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { modelsFolder } from '../examples/ocr-line/assemble.mjs';
import { startScript, stopAll, treeCpuUs } from './processes.mjs';
import { writeInferRequest } from './requests.mjs';
import { printServingWhileTraining, servingWhileTraining } from './serving-while-training.mjs';
import { interleave, median, ratio } from './statistics.mjs';
import { printStoppedHub, stoppedHub } from './stopped-hub.mjs';
import { printTraining, training } from './training.mjs';

const AGENT = fileURLToPath(new URL('../edge-agent/bin/tidegate-agent.js', import.meta.url));
const MODELS = [
  { name: 'recogniser', about: 'PP-OCRv4 line, ~20 ms', input: 'x', shape: [1, 3, 48, 240], target: 0.95 },
  { name: 'conv', about: 'three convolutions, ~1 ms', input: 'image', shape: [1, 3, 64, 64], target: 0.85 },
];
const P1_CONNECTIONS = 4;
const P4_CONNECTIONS = 16;
const P4_TARGET = 0.8;
/** Until V8 has compiled what is hot: before that, compiling takes a third of the time of a 1 ms model's answer. */
const WARM_UP_MS = 8_000;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: 'p1,p4,hub,training,serving' },
    rounds: { type: 'string', default: '5' },
    'round-ms': { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
  },
});
const wanted = options.only.split(',');
const rounds = Number(options.rounds);
const roundMs = Number(options['round-ms']);
const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-'));
const say = (text) => process.stderr.write(`${text}\n`);

async function startAgent() {
  const paths = MODELS.map(({ name }) => join(folder, `${name}.onnx`));
  copyFileSync(join(modelsFolder(), 'ch_PP-OCRv4_rec_infer.onnx'), paths[0]);
  copyFileSync(fileURLToPath(new URL('models/conv.onnx', import.meta.url)), paths[1]);
  const flags = [
    '--http-port',
    '0',
    '--grpc-port',
    'off',
    '--threads',
    '1',
    '--concurrency',
    '1',
    '--log-level',
    'warn',
  ];
  const agent = await startScript(AGENT, ['serve', ...paths, ...flags]);
  const [, host, port] = /http=(.+):(\d+)/.exec(agent.ready);
  return { ...agent, host, port, paths };
}

const load = (host, port, connections, request) =>
  startScript('load.mjs', [host, String(port), String(connections), request.path]);

/** A round of load on a server, and the processor time that the server and its children took for an answer. */
async function served(client, server) {
  const before = treeCpuUs(server.pid);
  const answer = await client.ask(roundMs);
  const cpuUs =
    before === undefined ? undefined : (treeCpuUs(server.pid) - before) / ((answer.perSecond * roundMs) / 1000);
  return { ...answer, cpuUs };
}

async function p1(agent) {
  const results = [];
  for (const [i, model] of MODELS.entries()) {
    const { name, input, shape } = model;
    const request = writeInferRequest(folder, { model: name, input, shape, headers: [['tidegate-cache', 'bypass']] });
    const helpers = {
      agent: await load(agent.host, agent.port, P1_CONNECTIONS, request),
      engine: await startScript('bare-loop.mjs', ['capi', agent.paths[i], shape.join()]),
      binding: await startScript('bare-loop.mjs', ['binding', agent.paths[i], shape.join()]),
    };
    for (const helper of Object.values(helpers)) await helper.ask(WARM_UP_MS);
    const measured = await interleave(
      {
        agent: () => served(helpers.agent, agent),
        engine: () => helpers.engine.ask(roundMs),
        binding: () => helpers.binding.ask(roundMs),
      },
      rounds,
      (round) => say(`P1 ${name}: round ${round} of ${rounds}`),
    );
    await Promise.all(Object.values(helpers).map((helper) => helper.stop()));
    results.push({
      name: `P1 ${name}`,
      about: model.about,
      target: model.target,
      measured,
      ratios: {
        'bare loop, same engine': ratio(measured.agent, measured.engine),
        'bare loop, onnxruntime-node': ratio(measured.agent, measured.binding),
      },
    });
  }
  return results;
}

async function p4(agent) {
  const { name, input, shape } = MODELS[1];
  const request = writeInferRequest(folder, { model: name, input, shape });
  const { headers, body } = await oneAnswer(agent, request);
  const answerFile = join(folder, 'answer');
  writeFileSync(answerFile, body);
  const plain = await startScript('plain-server.mjs', [answerFile, JSON.stringify(headers)]);
  const [, host, port] = /http=(.+):(\d+)/.exec(plain.ready);
  const helpers = {
    agent: await load(agent.host, agent.port, P4_CONNECTIONS, request),
    plain: await load(host, port, P4_CONNECTIONS, request),
  };
  for (const helper of Object.values(helpers)) await helper.ask(WARM_UP_MS);
  const measured = await interleave(
    { agent: () => served(helpers.agent, agent), plain: () => served(helpers.plain, plain) },
    rounds,
    (round) => say(`P4: round ${round} of ${rounds}`),
  );
  await Promise.all([...Object.values(helpers), plain].map((helper) => helper.stop()));
  const about = `cache hits, request of ${request.bodyBytes} bytes, answer of ${body.length}`;
  return [
    {
      name: 'P4',
      about,
      target: P4_TARGET,
      measured,
      ratios: { 'plain node:http with SHA-256': ratio(measured.agent, measured.plain) },
    },
  ];
}

/** What the agent answers to the request from its cache: the plain server sends the same. */
async function oneAnswer(agent, { request }) {
  const end = request.indexOf('\r\n\r\n');
  const [first, ...fields] = request.toString('latin1', 0, end).split('\r\n');
  const sent = Object.fromEntries(
    fields.map((line) => line.split(': ')).filter(([key]) => !/^(host|content-length)$/i.test(key)),
  );
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(`http://${agent.host}:${agent.port}${first.split(' ')[1]}`, {
      method: 'POST',
      headers: sent,
      body: request.subarray(end + 4),
    });
    const body = Buffer.from(await response.arrayBuffer());
    if (!response.ok) throw new Error(`infer answered ${response.status}: ${body.toString()}`);
    const headers = Object.fromEntries(
      [...response.headers].filter(([key]) => !/^(date|connection|keep-alive)$/.test(key)),
    );
    if (headers['tidegate-placement'] === 'cache') return { headers, body };
    if (attempt === 10) throw new Error(`no cache hit after ${attempt} requests: ${JSON.stringify(headers)}`);
  }
}

function print(results) {
  const two = (value) => value.toFixed(2);
  for (const { name, about, target, measured, ratios } of results) {
    console.log(`\n${name}: ${about}`);
    for (const [key, list] of Object.entries(measured)) {
      const figure = (field) => median(list.map((item) => item[field]));
      const latency =
        list[0].p50Ms === undefined ? '' : `, p50 ${two(figure('p50Ms'))} ms, p99 ${two(figure('p99Ms'))} ms`;
      const cpu = list[0].cpuUs === undefined ? '' : `, ${figure('cpuUs').toFixed(0)} us of processor each`;
      console.log(`  ${key.padEnd(8)} ${figure('perSecond').toFixed(0).padStart(7)} / s${cpu}${latency}`);
    }
    for (const [against, { median: middle, low, high }] of Object.entries(ratios)) {
      const verdict = middle >= target ? 'reached' : 'missed';
      console.log(`  ratio to ${against}: ${two(middle)} (${two(low)} to ${two(high)}), target ${target}: ${verdict}`);
    }
  }
}

try {
  say(`${cpus()[0].model}, ${cpus().length} cores, node ${process.version}; ${rounds} rounds of ${roundMs} ms`);
  const results = [];
  if (wanted.includes('p1') || wanted.includes('p4')) {
    const agent = await startAgent();
    if (wanted.includes('p1')) results.push(...(await p1(agent)));
    if (wanted.includes('p4')) results.push(...(await p4(agent)));
    await agent.stop();
  }
  const hub = wanted.includes('hub') ? await stoppedHub(rounds, roundMs, say) : undefined;
  const steps = wanted.includes('training') ? await training(rounds, roundMs, say) : [];
  const serving = wanted.includes('serving') ? await servingWhileTraining(folder, rounds, roundMs, say) : undefined;
  if (options.json) {
    const all = [...results, hub, ...steps, serving].filter((result) => result !== undefined);
    console.log(JSON.stringify(all, undefined, 2));
  } else {
    print(results);
    if (hub !== undefined) printStoppedHub(hub);
    if (steps.length > 0) printTraining(steps);
    if (serving !== undefined) printServingWhileTraining(serving);
  }
} finally {
  stopAll();
  rmSync(folder, { recursive: true, force: true });
}
