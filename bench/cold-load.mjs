// What a device pays to load a model that it knows: making the session from what the engine cache keeps, against the load that fills it
// and against the plain graph. And what it costs in memory to run a model four times at once (P10).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { figures, spread } from './statistics.mjs';

const WIDTH = 1024;
const FLOAT = 1;
const COLD_LOAD_MOST = 0.2;
const FOUR_MOST = 1.15;
const SMALL = { name: '67 MB of products', layers: 16 };
const LARGE = { name: '117 MB of products', layers: 28 };
const ROWS = 4;
const never = new AbortController().signal;

/** `layers` products of 1024 x 1024, with a Relu after each. */
function writeModel(path, layers) {
  const weights = new Float32Array(WIDTH * WIDTH);
  let state = 1;
  const initializers = Array.from({ length: layers }, (_, layer) => {
    for (let i = 0; i < weights.length; i += 1) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      weights[i] = (state / 2 ** 31 - 1) / 16;
    }
    return makeTensor(`w${layer}`, FLOAT, [WIDTH, WIDTH], new Uint8Array(weights.slice().buffer));
  });
  const nodes = initializers.flatMap((_, layer) => [
    makeNode('MatMul', [layer === 0 ? 'x' : `r${layer - 1}`, `w${layer}`], [`m${layer}`]),
    makeNode('Relu', [`m${layer}`], [`r${layer}`]),
  ]);
  const value = (name) => makeValue(name, FLOAT, ['rows', WIDTH]);
  const graph = makeGraph(nodes, [value('x')], [value(`r${layers - 1}`)], initializers);
  writeFileSync(path, Buffer.concat(encodeModel(makeModel(graph))));
}

const feeds = () => {
  const data = new Uint8Array(Float32Array.from({ length: ROWS * WIDTH }, (_, i) => Math.sin(i)).buffer);
  return [{ name: 'x', datatype: 'FP32', shape: [ROWS, WIDTH], data }];
};

function openRuntime(cacheFolder, onInfo = () => undefined) {
  const compiledCache = cacheFolder === undefined ? undefined : { folder: cacheFolder, limitBytes: 2 ** 31 };
  const log = { debug() {}, info: onInfo, warn() {}, error() {} };
  return new ExecutorRuntime({ clock: systemClock, log, compiledCache });
}

/** Loads, answers once, and says what the load took and what came out. */
async function loadOnce(runtime, path, concurrency = 1) {
  const startedMs = performance.now();
  const options = { label: 'cold-load', path, content: path, providers: ['cpu'], intraOpThreads: 1, concurrency };
  const runner = await runtime.load(options, never);
  const wholeMs = performance.now() - startedMs;
  const { outputs } = await runner.run(feeds(), [], never);
  return {
    runner,
    wholeMs,
    sessionMs: runner.sessionMs,
    how: runner.compiled?.kind,
    answer: Buffer.from(outputs[0].data),
  };
}

/** Megabytes: what the processes have of their own, and their share of what they have together (PSS, summed). */
function memoryMb(pids) {
  return pids.reduce((sum, pid) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return sum + Number(/^Pss:\s+(\d+)/m.exec(text)[1]) / 1024;
  }, 0);
}

async function coldLoads({ folder, rounds, say }) {
  const path = join(folder, 'small.onnx');
  writeModel(path, SMALL.layers);
  const measured = { plain: [], first: [], known: [] };
  let answer;
  for (let round = 0; round < rounds; round += 1) {
    const caches = { plain: undefined, first: join(folder, `cache-${round}`), known: join(folder, `cache-${round}`) };
    for (const [name, cache] of Object.entries(caches)) {
      let compileMs; // what the log says of the executor that compiles
      const runtime = openRuntime(cache, ({ compiled, sessionMs }) => {
        if (compiled?.kind === 'built') compileMs = sessionMs;
      });
      const one = await loadOnce(runtime, path);
      if (compileMs !== undefined) one.sessionMs = compileMs;
      if (name === 'known' && one.how !== 'used') throw new Error(`the known model was loaded ${one.how}`);
      if (!(answer ??= one.answer).equals(one.answer)) throw new Error(`${name}: other answers than the plain graph's`);
      measured[name].push(one);
      await runtime.close();
    }
    say(`cold load: round ${round + 1} of ${rounds}`);
  }
  const of = (list) => ({
    figures: figures(list, { 'load ms': (one) => one.wholeMs, 'of it session ms': (one) => one.sessionMs }),
  });
  const over = (what, a, b) => spread(a.map((one, i) => one[what] / b[i][what]));
  return {
    name: 'Cold load',
    about: `${SMALL.name}: the plain graph, the load that fills the engine cache (what it takes to compile is in it), and a load of what is kept; answers equal bit for bit`,
    contestants: { plain: of(measured.plain), first: of(measured.first), known: of(measured.known) },
    ratios: [
      {
        what: 'known / first, making the session',
        ...over('sessionMs', measured.known, measured.first),
        atMost: COLD_LOAD_MOST,
      },
      { what: 'known / first, whole load with the process', ...over('wholeMs', measured.known, measured.first) },
      { what: 'known / plain, making the session', ...over('sessionMs', measured.known, measured.plain) },
      { what: 'known / plain, whole load with the process', ...over('wholeMs', measured.known, measured.plain) },
    ],
  };
}

async function fourAtOnce({ folder, rounds, say }) {
  const path = join(folder, 'large.onnx');
  writeModel(path, LARGE.layers);
  const cache = join(folder, 'cache-large');
  await openRuntime(cache)
    .load({ label: 'fill', path, content: path, providers: ['cpu'], intraOpThreads: 1 }, never)
    .then((r) => r.close());
  const measured = { one: [], 'four runs of one session': [], 'four executors': [] };
  const measure = async (count, concurrency) => {
    const runtime = openRuntime(cache);
    const runners = [];
    for (let i = 0; i < count; i += 1) runners.push((await loadOnce(runtime, path, concurrency)).runner);
    for (let i = 0; i < 8; i += 1) {
      const runs = runners.flatMap((runner) =>
        Array.from({ length: concurrency }, () => runner.run(feeds(), [], never)),
      );
      await Promise.all(runs);
    }
    const mb = memoryMb(runners.map(({ pid }) => pid));
    await runtime.close();
    return { mb };
  };
  for (let round = 0; round < rounds; round += 1) {
    measured.one.push(await measure(1, 1));
    measured['four runs of one session'].push(await measure(1, 4));
    measured['four executors'].push(await measure(4, 1));
    say(`memory of four: round ${round + 1} of ${rounds}`);
  }
  const contestants = Object.fromEntries(
    Object.entries(measured).map(([name, list]) => [name, { figures: figures(list, { 'PSS MB': ({ mb }) => mb }) }]),
  );
  const over = (name) => spread(measured[name].map((one, i) => one.mb / measured.one[i].mb));
  return {
    name: 'P10 memory',
    about: `${LARGE.name}, PSS summed over the executors after 8 rounds of runs, [${ROWS}, ${WIDTH}] each`,
    contestants,
    ratios: [
      { what: 'four concurrent runs of one session / one', ...over('four runs of one session'), atMost: FOUR_MOST },
      { what: 'four executors of the model / one', ...over('four executors') },
    ],
  };
}

export async function coldLoad(options) {
  const cold = await coldLoads(options);
  if (process.platform !== 'linux') return [{ ...cold, notes: ['memory is not measured: it reads /proc'] }];
  return [cold, await fourAtOnce(options)];
}
