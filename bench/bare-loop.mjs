// What a single thread of ONNX Runtime does when nothing stands around it: runs one after the other in this process.
// node bare-loop.mjs ENGINE MODEL SHAPE: then, for each line "MS" on stdin, loops that long and prints runs per second.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pickEngine } from '@tidegate/shared/runtime/executor/pick-engine.js';

const [engineName, path, shapeText] = process.argv.slice(2);
const shape = shapeText.split(',').map(Number);
const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
const run = engineName === 'capi' ? await withOurEngine() : await withTheBinding();

async function withOurEngine() {
  const { engine } = await pickEngine('capi');
  const signal = new AbortController().signal;
  const session = await engine.load({ path, providers: ['cpu'], intraOpThreads: 1 }, signal);
  const [{ name }] = session.inputs;
  const feeds = [{ name, datatype: 'FP32', shape, data: new Uint8Array(values.buffer) }];
  return () => session.run(feeds, [], signal);
}

/** onnxruntime-node by itself, with nothing of ours. */
async function withTheBinding() {
  const ort = createRequire(new URL('../shared/package.json', import.meta.url))('onnxruntime-node');
  const session = await ort.InferenceSession.create(readFileSync(path), {
    intraOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  });
  const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', values, shape) };
  return () => session.run(feeds);
}

for (let i = 0; i < 5; i++) await run();
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  let count = 0;
  while (performance.now() - startedMs < Number(line)) {
    await run();
    count += 1;
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ perSecond: count / seconds, cpuUs: (user + system) / count }));
}
process.kill(process.pid, 'SIGKILL'); // without waiting for native destructors
