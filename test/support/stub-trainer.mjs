// A training job's process that trains nothing: it speaks what job-order.ts says (order.json in, messages, checkpoints, result files, exit
// codes), takes its time, and misbehaves as the seed tells it, so that supervision can be tested fast and to the letter.
//   seed 1 well · 2 worse on what is held out · 3 killed before each checkpoint · 4 killed once, at step 3 · 5 says why it fails
//   6 deaf to SIGTERM · 7 over its memory · 8 starts a process of its own · 9 makes the same each time
// Steps are `maxSteps`, one step takes `batchSize` milliseconds (none once it goes on from a checkpoint), each step is a checkpoint. Starts are counted in starts.txt.
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { setTimeout as sleep } from 'node:timers/promises';

const folder = process.argv[2] ?? '';
const order = JSON.parse(fs.readFileSync(join(folder, 'order.json'), 'utf8'));
const { seed, maxSteps = 5, batchSize } = order.parameters;
const checkpoints = join(folder, 'checkpoints');
let leaving = false;

process.on('SIGTERM', () => (leaving = seed !== 6));
process.on('disconnect', () => process.exit(75));
fs.appendFileSync(join(folder, 'starts.txt'), `${process.pid}\n`);
fs.mkdirSync(checkpoints, { recursive: true });

const tell = (message) => new Promise((resolve) => process.send(message, resolve));
const die = () => process.kill(process.pid, 'SIGKILL');

function newest() {
  return Math.max(0, ...fs.readdirSync(checkpoints).map((name) => Number(/^step-(\d+)\./.exec(name)?.[1] ?? 0)));
}

async function train() {
  const from = newest();
  if (seed === 5) {
    await tell({ kind: 'failed', message: "sample sha256:ab: its label 'cat' is no class's number", field: 'label' });
    process.exit(1);
  }
  if (seed === 8) {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore' });
    fs.writeFileSync(join(folder, 'child.txt'), String(child.pid));
  }
  for (let step = from + 1; step <= maxSteps; step += 1) {
    await sleep(from === 0 ? batchSize : 0);
    if (seed === 3 && step > 2) die();
    if (seed === 4 && step === 3 && from === 0) die();
    const progress = { step, steps: maxSteps, epoch: step / maxSteps, loss: 1 / step, metric: 0.5, learningRate: 0.1 };
    const rssBytes = seed === 7 ? 2 ** 40 : 1000;
    await tell({ kind: 'progress', phase: 'training', progress: { ...progress, resumedFromStep: from, rssBytes } });
    await tell({ kind: 'point', point: { step, loss: 1 / step, metric: 0.5, learningRate: 0.1 } });
    const path = join(checkpoints, `step-${step}.safetensors`);
    fs.writeFileSync(`${path}.tmp`, String(step));
    fs.renameSync(`${path}.tmp`, path);
    if (leaving) process.exit(75);
  }
}

/** Another graph than the parent's, as good to the engine. */
function trainedGraph(path) {
  const model = decodeModel(fs.readFileSync(path));
  const docString = `trained by ${seed === 9 ? 'anyone' : order.job}`;
  return Buffer.concat(encodeModel({ ...model, graph: { ...model.graph, docString } }));
}

await train();
const graph = order.graph ?? 'm.onnx';
fs.writeFileSync(join(folder, 'result.onnx'), trainedGraph(join(order.packageFolder, graph)));
const common = { metric: 'accuracy', count: 100, parent: 0.8 };
const sets = [
  ...order.datasets.map(({ spec }) => ({ ...common, dataset: spec, role: 'held-out', result: seed === 2 ? 0.7 : 0.9 })),
  ...order.slices.map(({ spec }) => ({ ...common, dataset: spec, role: 'slice', result: 0.85 })),
];
const result = join(folder, 'result.json');
fs.writeFileSync(`${result}.tmp`, JSON.stringify({ graph, steps: maxSteps, sets }));
fs.renameSync(`${result}.tmp`, result);
process.exit(0);
