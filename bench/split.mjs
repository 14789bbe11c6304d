// A pipeline of two graphs between a slow device and a fast hub, over links of three speeds: all here, all at the hub, and what the device chooses by
// itself. The first graph makes 50 KB of 600 KB cheaply; the second one is most of the work. The device's executors are stopped three quarters of
// the time (SIGSTOP), which makes it four times as slow as the hub on the same machine; the link is a proxy that delays and limits (shaped-link.mjs).
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { ONE_RUN, startAgent } from './agent.mjs';
import { ask } from './answers.mjs';
import { inferRequest } from './requests.mjs';
import { startShapedLink } from './shaped-link.mjs';
import { figures, interleave, median, ratio } from './statistics.mjs';

const LINKS = {
  'local network': { roundTripMs: 1, bytesPerSecond: 100e6 },
  'mobile radio': { roundTripMs: 20, bytesPerSecond: 2.5e6 },
  'bad radio': { roundTripMs: 200, bytesPerSecond: 125e3 },
};
const [RUN_MS, STOP_MS] = [2, 6];
const IMAGE = [1, 3, 224, 224];
const FLOAT = 1;
/** Layers of the second graph, of which each has 0.9 billion operations. */
const DEPTH = 12;
/** The device tries each place that it doesn't know, one a second at most. */
const LEARNS_MS = 12_000;
const LEARNS_EVERY_MS = 250;
/** Of what it chooses, over the faster of both ends. */
const TARGET = 1.15;
/** Where the cut should win clearly. */
const WINS = { 'mobile radio': 0.8 };

export async function split({ folder, rounds, quick, say }) {
  const model = writeModel(join(folder, 'two-stages'));
  const hub = await startAgent([model], ONE_RUN);
  const link = await startShapedLink(hub.url, Object.values(LINKS)[0]);
  const device = await startAgent([model], [...ONE_RUN, '--hub', link.url]);
  const slow = slowedDown(await executorsOf(device));
  const request = (placement) =>
    inferRequest({
      model: 'two-stages',
      input: 'image',
      shape: IMAGE,
      headers: [
        ['tidegate-cache', 'bypass'],
        ['tidegate-placement', placement],
      ],
    });
  const results = [];
  try {
    for (const [name, shape] of Object.entries(LINKS)) {
      link.shape = shape;
      await learn(device, request('auto'), quick ? LEARNS_MS / 2 : LEARNS_MS);
      const times = 3;
      const contestants = {
        'all here': () => timed(device, request('local'), times),
        'all at the hub': () => timed(device, request('hub'), 1),
        'as it chooses': () => timed(device, request('auto'), times),
      };
      const measured = await interleave(contestants, rounds, (round) => say(`split, ${name}: ${round} of ${rounds}`));
      results.push(resultOf(name, shape, measured));
    }
  } finally {
    slow.end();
    await Promise.all([device.stop(), hub.stop()]);
    await link.close();
  }
  return results;
}

function resultOf(name, { roundTripMs, bytesPerSecond }, measured) {
  const chosen = measured['as it chooses'];
  const ends = chosen.map((_, i) => ({ ms: Math.min(measured['all here'][i].ms, measured['all at the hub'][i].ms) }));
  const contestants = Object.entries(measured).map(([who, list]) => [
    who,
    { note: list.at(-1).reason, figures: figures(list, { ms: ({ ms }) => ms }) },
  ]);
  const over = (list) => ratio(chosen, list, ({ ms }) => ms);
  return {
    name: `Split, ${name}`,
    about: `two graphs, 600 KB in, 50 KB between; round trip ${roundTripMs} ms, ${bytesPerSecond / 1e6} MB/s, the device four times as slow as the hub`,
    plot: 'ms',
    contestants: Object.fromEntries(contestants),
    ratios: [
      { what: 'as it chooses / the faster end', ...over(ends), atMost: WINS[name] ?? TARGET },
      { what: 'as it chooses / all here', ...over(measured['all here']) },
      { what: 'as it chooses / all at the hub', ...over(measured['all at the hub']) },
    ],
  };
}

/** The median of some requests, one after the other, and what the last one said. */
async function timed(device, request, times) {
  const took = [];
  let reason;
  for (let i = 0; i < times; i += 1) {
    const startedMs = performance.now();
    const { headers } = await ask(device, request);
    took.push(performance.now() - startedMs);
    reason = `${headers.get('tidegate-placement')}: ${headers.get('tidegate-reason')}`;
  }
  return { ms: median(took), reason };
}

async function learn(device, request, forMs) {
  for (const untilMs = performance.now() + forMs; performance.now() < untilMs;) {
    await ask(device, request);
    await delay(LEARNS_EVERY_MS);
  }
}

async function executorsOf(device) {
  const { models } = await (await fetch(`${device.url}/agent/v1/status`)).json();
  return models.flatMap(({ graphs }) => graphs.map(({ pid }) => pid));
}

/** Lets processes run a quarter of the time. */
function slowedDown(pids) {
  const send = (signal) => pids.forEach((pid) => process.kill(pid, signal));
  let timer;
  const run = () => {
    send('SIGCONT');
    timer = setTimeout(stop, RUN_MS);
  };
  const stop = () => {
    send('SIGSTOP');
    timer = setTimeout(run, STOP_MS);
  };
  run();
  return {
    end() {
      clearTimeout(timer);
      send('SIGCONT');
    },
  };
}

/** image [1, 3, 224, 224] -> features [1, 64, 14, 14] -> scores [1, 10]. */
function writeModel(folder) {
  mkdirSync(folder, { recursive: true });
  const weights = (name, dims) => {
    const count = dims.reduce((a, b) => a * b, 1);
    const fan = count / dims[0];
    return makeTensor(
      name,
      FLOAT,
      dims,
      bytesOf(Float32Array.from({ length: count }, (_, i) => Math.sin(i * i) / fan)),
    );
  };
  const pads = [1n, 1n, 1n, 1n];
  const front = makeGraph(
    [
      makeNode('Conv', ['image', 'w'], ['c'], { attributes: { strides: [4n, 4n], pads: [3n, 3n, 3n, 3n] } }),
      makeNode('Relu', ['c'], ['r']),
      makeNode('MaxPool', ['r'], ['features'], { attributes: { kernel_shape: [4n, 4n], strides: [4n, 4n] } }),
    ],
    [makeValue('image', FLOAT, IMAGE)],
    [makeValue('features', FLOAT, [1, 64, 14, 14])],
    [weights('w', [64, 3, 7, 7])],
  );
  const back = makeGraph(
    [
      makeNode('Conv', ['features', 'wide'], ['deep0']),
      ...Array.from({ length: DEPTH }, (_, i) => [
        makeNode('Conv', [`deep${i}`, 'w'], [`sums${i}`], { attributes: { pads } }),
        makeNode('Relu', [`sums${i}`], [`deep${i + 1}`]),
      ]).flat(),
      makeNode('GlobalAveragePool', [`deep${DEPTH}`], ['means']),
      makeNode('Flatten', ['means'], ['flat']),
      makeNode('MatMul', ['flat', 'last'], ['scores']),
    ],
    [makeValue('features', FLOAT, [1, 64, 14, 14])],
    [makeValue('scores', FLOAT, [1, 10])],
    [weights('wide', [512, 64, 1, 1]), weights('w', [512, 512, 3, 3]), weights('last', [512, 10])],
  );
  for (const [file, graph] of Object.entries({ 'front.onnx': front, 'back.onnx': back }))
    writeFileSync(join(folder, file), Buffer.concat([...encodeModel(makeModel(graph, { '': 17 }))]));
  writeFileSync(
    join(folder, 'model.yaml'),
    `name: two-stages
licence: Apache-2.0
inputs: [{ name: image, datatype: FP32, shape: [${IMAGE}] }]
outputs: [{ name: scores, datatype: FP32, shape: [1, 10] }]
pipeline: [{ graph: front.onnx }, { graph: back.onnx }]
batching: { maxRows: 1 }
placement: { split: true }
`,
  );
  return folder;
}
