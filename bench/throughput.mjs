// P1, P2, P11: HTTP infer with binary tensors through `tidegate-agent serve`, one run at a time on one ONNX Runtime thread, the cache
// bypassed; against bare loops of runs in one process (the same engine, and onnxruntime-node by itself) and against other servers of
// the same model, as many threads and connections. Round by round in turns; who isn't measured is stopped (SIGSTOP).
import { ONE_RUN, startAgent } from './agent.mjs';
import { timedModels } from './bench-models.mjs';
import { signalTree, startScript, treeCpuUs } from './processes.mjs';
import { number } from './report.mjs';
import { inferRequest, writeRequest } from './requests.mjs';
import { figures, interleave, ratio } from './statistics.mjs';

const CONNECTIONS = 4;
const TARGETS = { recogniser: 0.95, conv: 0.85 };
const CPU_TARGET = 1.1;

export const SERVED_FIGURES = {
  'answers / s': ({ perSecond }) => perSecond,
  'us of processor / answer': ({ cpuUs }) => cpuUs,
  'p50 ms': ({ p50Ms }) => p50Ms,
  'p99 ms': ({ p99Ms }) => p99Ms,
};

/** A round of load on a server, and the processor time that the server and its children took for an answer. */
export async function served(client, { pid }, roundMs) {
  const before = treeCpuUs(pid);
  const answer = await client.ask(roundMs);
  return before === undefined ? answer : { ...answer, cpuUs: (treeCpuUs(pid) - before) / answer.answers };
}

/** Starts a load generator that sends `request` to a server over so many connections. */
export const startLoad = (folder, { host, port }, connections, request) =>
  startScript('load.mjs', [host, String(port), String(connections), writeRequest(folder, request)]);

async function loop(engine, { file, shape }, { warmUpMs, roundMs }) {
  const script = await startScript('bare-loop.mjs', [engine, file, shape.join()]);
  await script.ask(warmUpMs);
  return { measure: () => script.ask(roundMs), stop: () => script.stop(), pause() {}, resume() {} };
}

async function server(started, request, { folder, warmUpMs, roundMs }) {
  const client = await startLoad(folder, started, CONNECTIONS, request);
  await client.ask(warmUpMs);
  return {
    measure: () => served(client, started, roundMs),
    pause: () => signalTree(started.pid, 'SIGSTOP'),
    resume: () => signalTree(started.pid, 'SIGCONT'),
    stop: () => Promise.all([client.stop(), started.stop()]),
  };
}

async function oneModel(model, bench) {
  const { name, about, input, shape, file, runMs } = model;
  const agent = await startAgent([file], ONE_RUN);
  const request = inferRequest({ model: name, input, shape, headers: [['tidegate-cache', 'bypass']] });
  const contestants = {
    tidegate: await server(agent, request, bench),
    'bare loop, same engine': await loop('capi', model, bench),
    'bare loop, onnxruntime-node': await loop('binding', model, bench),
  };
  for (const one of Object.values(contestants)) one.pause();
  const turn = async (one) => {
    one.resume();
    try {
      return await one.measure();
    } finally {
      one.pause();
    }
  };
  const measured = await interleave(
    Object.fromEntries(Object.entries(contestants).map(([key, one]) => [key, () => turn(one)])),
    bench.rounds,
    (round) => bench.say(`${name}: round ${round} of ${bench.rounds}`),
  );
  await Promise.all(Object.values(contestants).map((one) => one.stop()));
  return {
    name: `P1 ${name}`,
    about: `${about}, ${number(runMs)} ms of processor a run; ${CONNECTIONS} connections`,
    ...judged(name, measured),
  };
}

function judged(name, measured) {
  const { tidegate } = measured;
  const loops = ['bare loop, same engine', 'bare loop, onnxruntime-node'];
  const cpu = ({ cpuUs }) => cpuUs;
  return {
    plot: 'answers / s',
    contestants: Object.fromEntries(
      Object.entries(measured).map(([key, list]) => [key, { figures: figures(list, SERVED_FIGURES) }]),
    ),
    ratios: [
      ...loops.map((key) => ({
        what: `P1 answers, tidegate / ${key}`,
        ...ratio(tidegate, measured[key]),
        atLeast: TARGETS[name],
      })),
      {
        what: 'P11 processor time, tidegate / bare loop, same engine',
        ...ratio(tidegate, measured[loops[0]], cpu),
        atMost: CPU_TARGET,
      },
    ],
  };
}

/** One result a model. */
export async function throughput(bench) {
  const results = [];
  for (const model of await timedModels(bench.folder)) results.push(await oneModel(model, bench));
  return results;
}
