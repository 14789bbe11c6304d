// Tidegate's side of P8: the loop that trains, over a step graph, on one batch again and again.
// node our-step.mjs MODEL THREADS: then, for each line "MS" on stdin, trains that long and prints steps per second.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { pickEngine } from '@tidegate/shared/runtime/executor/pick-engine.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { train } from '@tidegate/shared/training/train.js';
import { LEARNING_RATE, preparedStep } from './prepared-step.mjs';

const [name, threads] = process.argv.slice(2);
const { step, batch } = preparedStep(name);
const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-step-'));
const path = join(folder, 'step.onnx');
writeFileSync(path, Buffer.concat(encodeModel(step.model)));
const { engine } = await pickEngine('capi');
const never = new AbortController().signal;
const session = await engine.load({ path, providers: ['cpu'], intraOpThreads: Number(threads) }, never);
const state = session.openState(step.initial, step.carried);
rmSync(folder, { recursive: true });

const batches = { next: async () => ({ done: false, value: batch }) };
let done = 0;
let loss = Number.NaN;

/** Trains until `isOver` says so, looking after each step. */
async function steps(isOver) {
  const stop = new AbortController();
  const plan = { names: step, doneSteps: done, steps: 1e9, accumulate: 1, learningRate: () => LEARNING_RATE };
  const onStep = (report) => {
    loss = report.loss;
    if (isOver(report.step)) stop.abort();
  };
  const modules = { state, batches, clock: systemClock, onStep, checkpoint: async () => undefined };
  const end = await train({ ...plan, checkpointEveryMs: 1e9 }, modules, stop.signal);
  done = end.doneSteps;
}

await steps((count) => count >= 5);
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const startedMs = performance.now();
  const before = done;
  const cpu = process.cpuUsage();
  await steps(() => performance.now() - startedMs >= Number(line));
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const count = done - before;
  console.log(JSON.stringify({ perSecond: count / seconds, cpuUs: (user + system) / count, loss }));
}
process.kill(process.pid, 'SIGKILL'); // without waiting for native destructors
