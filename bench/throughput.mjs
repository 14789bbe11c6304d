// P1, P2, P11: HTTP infer with binary tensors through `tidegate-agent serve`, one run at a time on one ONNX Runtime thread, the cache
// bypassed; against bare loops of runs in one process (the same engine, and onnxruntime-node by itself) and against other servers of
// the same model (peers/), as many threads and connections. Round by round in turns; who isn't measured is stopped (SIGSTOP).
import { ONE_RUN, startAgent } from './agent.mjs';
import { ask, expectSame, oipFloats } from './answers.mjs';
import { timedModels } from './bench-models.mjs';
import { installPeers, SERVERS } from './peers/peers.mjs';
import { signalTree, startScript, treeCpuUs } from './processes.mjs';
import { lastLine } from './python-environment.mjs';
import { number } from './report.mjs';
import { inferRequest, writeRequest } from './requests.mjs';
import { figures, interleave, ratio } from './statistics.mjs';

const CONNECTIONS = 4;
/** P1 and P2 for each model; `python`: how many times the best of the Python servers, where that is a target. */
const TARGETS = { recogniser: { loops: 0.95, peers: 1.1 }, conv: { loops: 0.85, peers: 1.1, python: 3 } };
/** For who has no compiler that works while it serves. */
const COMPILED_WARM_UP_MS = 1_500;
/** Who has one is warm after so many answers, whatever a run takes (docs/performance.md, "The compiler, and the hub"). */
const JUST_IN_TIME_ANSWERS = 1_200;
const WARM_UP_MS_MAX = 40_000;
const CPU_TARGET = 1.1;
const PYTHON_PEERS = ['mlserver', 'bentoml'];
const LOOPS = { 'bare loop, same engine': 'capi', 'bare loop, onnxruntime-node': 'binding' };

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

async function loop(engine, { file, shape }, { roundMs }) {
  const script = await startScript('bare-loop.mjs', [engine, file, shape.join()]);
  await script.ask(COMPILED_WARM_UP_MS);
  return { measure: () => script.ask(roundMs), stop: () => script.stop(), pause() {}, resume() {} };
}

async function server(started, request, bench, justInTime) {
  const { folder, roundMs } = bench;
  const client = await startLoad(folder, started, CONNECTIONS, request);
  await warmUp(client, justInTime, bench);
  const pause = () => signalTree(started.pid, 'SIGSTOP');
  pause();
  return {
    measure: () => served(client, started, roundMs),
    pause,
    resume: () => signalTree(started.pid, 'SIGCONT'),
    stop: () => Promise.all([client.stop(), started.stop()]),
  };
}

async function warmUp(client, justInTime, { warmUpMs, quick }) {
  if (!justInTime) return client.ask(COMPILED_WARM_UP_MS);
  const untilMs = performance.now() + (quick ? 0 : WARM_UP_MS_MAX);
  let answers = 0;
  do answers += (await client.ask(warmUpMs)).answers;
  while (answers < JUST_IN_TIME_ANSWERS && performance.now() < untilMs);
}

async function oneModel(model, { installed, skipped }, bench) {
  const { name, about, input, shape, file, runMs } = model;
  const agent = await startAgent([file], ONE_RUN);
  const request = inferRequest({ model: name, input, shape, headers: [['tidegate-cache', 'bypass']] });
  const ours = await ask(agent, request).then(({ headers, body }) => oipFloats(headers, body));
  const contestants = { tidegate: await server(agent, request, bench, true) };
  const notes = [...skipped];
  for (const [peer, found] of Object.entries(installed)) {
    try {
      const started = await SERVERS[peer].start(found, model, bench);
      const { headers, body } = await ask(started, started.request);
      expectSame(peer, ours, SERVERS[peer].floats(headers, body));
      contestants[peer] = await server(started, started.request, bench, SERVERS[peer].justInTime === true);
    } catch (error) {
      notes.push(`${peer} is skipped: ${lastLine(error)}`);
    }
  }
  for (const [key, engine] of Object.entries(LOOPS)) contestants[key] = await loop(engine, model, bench);
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
    (round) => bench.say(`throughput, ${name}: round ${round} of ${bench.rounds}`),
  );
  await Promise.all(Object.values(contestants).map((one) => one.stop()));
  return {
    name: `Throughput, ${name}`,
    about: `${about}, ${number(runMs)} ms of processor a run; ${CONNECTIONS} connections`,
    plot: 'answers / s',
    contestants: Object.fromEntries(
      Object.entries(measured).map(([key, list]) => [
        key,
        { note: installed[key]?.about, figures: figures(list, SERVED_FIGURES) },
      ]),
    ),
    ratios: judged(TARGETS[name], measured),
    notes,
  };
}

function judged(targets, measured) {
  const { tidegate } = measured;
  const against = (what, list, target) => ({ what: `${what}, answers`, ...ratio(tidegate, list), ...target });
  const peers = Object.keys(SERVERS).filter((name) => measured[name] !== undefined);
  const python = PYTHON_PEERS.filter((name) => measured[name] !== undefined);
  const loops = Object.keys(LOOPS);
  return [
    ...loops.map((key) => against(`P1 tidegate / ${key}`, measured[key], { atLeast: targets.loops })),
    ...peers.map((peer) => against(`tidegate / ${peer}`, measured[peer])),
    ...(peers.length === 0
      ? []
      : [against('P2 tidegate / best peer', best(peers, measured), { atLeast: targets.peers })]),
    ...(python.length === 0 || targets.python === undefined
      ? []
      : [against('P2 tidegate / best Python peer', best(python, measured), { atLeast: targets.python })]),
    {
      what: `P11 tidegate / ${loops[0]}, processor time`,
      ...ratio(tidegate, measured[loops[0]], ({ cpuUs }) => cpuUs),
      atMost: CPU_TARGET,
    },
  ];
}

/** In each round, whoever of them was the fastest. */
const best = (names, measured) =>
  measured[names[0]].map((_, round) => ({
    perSecond: Math.max(...names.map((name) => measured[name][round].perSecond)),
  }));

/** One result a model. `bench.peers`: the names of those to install. */
export async function throughput(bench) {
  const peers = await installPeers(Object.keys(SERVERS), bench.peers, bench.say);
  const results = [];
  for (const model of await timedModels(bench.folder)) results.push(await oneModel(model, peers, bench));
  return results;
}
