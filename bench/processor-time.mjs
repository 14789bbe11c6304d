// Where an answer's processor time goes, by thread, in one build or in several in turns: did a change save anything? On a machine that is
// busy with other things this stays comparable, while rates then measure mostly who gets a core.
//
//   node bench/processor-time.mjs                                    this checkout
//   node bench/processor-time.mjs --checkout ../before --checkout .  two builds, round by round
//   node bench/processor-time.mjs --only hit,conv,recogniser --rounds 9 --round-ms 1500
//
// Linux only: /proc/PID/task/TID/schedstat tells a thread's time on a processor in nanoseconds.
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ONE_RUN, startAgent } from './agent.mjs';
import { CONV, RECOGNISER } from './bench-models.mjs';
import { cachedAnswer } from './cache-hits.mjs';
import { childrenOf, startScript, stopAll } from './processes.mjs';
import { inferRequest } from './requests.mjs';
import { interleave, median } from './statistics.mjs';
import { startLoad } from './throughput.mjs';

const CASES = {
  hit: { model: CONV, connections: 16, headers: [] },
  conv: { model: CONV, connections: 4, headers: [['tidegate-cache', 'bypass']] },
  recogniser: { model: RECOGNISER, connections: 4, headers: [['tidegate-cache', 'bypass']] },
};

const { values: options } = parseArgs({
  options: {
    checkout: { type: 'string', multiple: true, default: [fileURLToPath(new URL('..', import.meta.url))] },
    only: { type: 'string', default: Object.keys(CASES).join() },
    rounds: { type: 'string', default: '7' },
    'round-ms': { type: 'string', default: '1500' },
    'warm-up-ms': { type: 'string', default: '8000' },
  },
});
const rounds = Number(options.rounds);
const roundMs = Number(options['round-ms']);
const warmUpMs = Number(options['warm-up-ms']);
const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-'));

/** Thread -> nanoseconds on a processor; the thread with the process's id is the main one. */
function threadNs(pid) {
  const times = new Map();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      times.set(Number(tid), Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]));
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error; // it ended meanwhile
    }
  }
  return times;
}

/** Microseconds so far: the server's main thread, its other threads, its executors. */
function spentUs(pid) {
  const sum = (times) => [...times.values()].reduce((a, b) => a + b, 0) / 1000;
  const own = threadNs(pid);
  const main = own.get(pid) / 1000;
  const executors = childrenOf(pid).reduce((total, child) => total + sum(threadNs(child)), 0);
  return { main, others: sum(own) - main, executors };
}

async function round(client, { pid }) {
  const before = spentUs(pid);
  const { answers } = await client.ask(roundMs);
  const after = spentUs(pid);
  const each = Object.fromEntries(Object.keys(before).map((key) => [key, (after[key] - before[key]) / answers]));
  return { all: each.main + each.others + each.executors, ...each };
}

async function startPlain(agent, request) {
  const { headers, body } = await cachedAnswer(agent, request);
  const answerFile = join(folder, 'answer');
  writeFileSync(answerFile, body);
  const plain = await startScript('plain-server.mjs', [answerFile, JSON.stringify(headers)]);
  const [, host, port] = /http=(.+):(\d+)/.exec(plain.ready);
  return { ...plain, host, port };
}

/** Rounds of all checkouts and last of the yardstick, in turns: label -> measurements. */
async function measure(name) {
  const { model, connections, headers } = CASES[name];
  const request = inferRequest({ model: model.name, input: model.input, shape: model.shape, headers });
  const file = join(folder, `${model.name}.onnx`);
  copyFileSync(model.file, file);
  const servers = {};
  for (const checkout of options.checkout) servers[checkout] = await startAgent([file], ONE_RUN, resolve(checkout));
  const loop = name === 'hit' ? undefined : await startScript('bare-loop.mjs', ['capi', file, model.shape.join()]);
  if (loop === undefined) servers['plain node:http'] = await startPlain(Object.values(servers)[0], request);
  const contestants = {};
  const helpers = [];
  for (const [label, server] of Object.entries(servers)) {
    const client = await startLoad(folder, server, connections, request);
    await client.ask(warmUpMs);
    helpers.push(client, server);
    contestants[label] = () => round(client, server);
  }
  if (loop !== undefined) {
    helpers.push(loop);
    contestants['bare loop'] = async () => ({ all: (await loop.ask(roundMs)).cpuUs });
  }
  const measured = await interleave(contestants, rounds);
  for (const helper of helpers) await helper.stop();
  return measured;
}

function print(name, measured) {
  console.log(`\n${name}: us of processor an answer, median (least) of ${rounds} rounds`);
  const yardstick = Object.values(measured).at(-1);
  for (const [label, list] of Object.entries(measured)) {
    const figure = (key) => {
      const values = list.map((item) => item[key]);
      return `${key} ${median(values).toFixed(1)} (${Math.min(...values).toFixed(1)})`;
    };
    const ratio = median(list.map(({ all }, i) => all / yardstick[i].all)).toFixed(2);
    console.log(`  ${label.padEnd(24)} ${Object.keys(list[0]).map(figure).join(', ')}; ${ratio} of the yardstick's`);
  }
}

try {
  for (const name of options.only.split(',')) print(name, await measure(name));
} finally {
  stopAll();
  rmSync(folder, { recursive: true, force: true });
}
