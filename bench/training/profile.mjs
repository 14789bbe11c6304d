// Where a training step's time goes, by ONNX Runtime's own profiler: for each node the shortest of 30 runs, so that a busy machine
// disturbs little. node bench/training/profile.mjs MODEL [THREADS] [node|op] [LINES]
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { LEARNING_RATE, preparedStep } from './prepared-step.mjs';

const RUNS = 30;
const [name, threads = '1', by = 'node', lines = '40'] = process.argv.slice(2);
const ort = createRequire(new URL('../../shared/package.json', import.meta.url))('onnxruntime-node');
const ARRAYS = { FP32: [Float32Array, 'float32'], INT64: [BigInt64Array, 'int64'] };

function value({ datatype, shape, data }) {
  const [type, ortName] = ARRAYS[datatype];
  return new ort.Tensor(ortName, new type(new Uint8Array(data).buffer), shape);
}

const { step, batch } = preparedStep(name);
const folder = mkdtempSync(join(tmpdir(), 'tidegate-profile-'));
const session = await ort.InferenceSession.create(Buffer.concat(encodeModel(step.model)), {
  intraOpNumThreads: Number(threads),
  enableProfiling: true,
  profileFilePrefix: join(folder, 'p'),
  extra: { session: { intra_op: { allow_spinning: '0' } } },
});
const feeds = {
  ...Object.fromEntries([...batch.feeds, ...step.initial].map((one) => [one.name, value(one)])),
  [step.feeds.labels]: value(batch.labels),
  [step.feeds.learningRate]: new ort.Tensor('float32', Float32Array.of(LEARNING_RATE), []),
  [step.feeds.step]: new ort.Tensor('int64', BigInt64Array.of(1n), []),
};
for (let i = 0; i < RUNS; i += 1) {
  const outputs = await session.run(feeds);
  for (const [output, input] of step.carried) feeds[input] = outputs[output];
}
session.endProfiling();
const [file] = readdirSync(folder);
const events = JSON.parse(readFileSync(join(folder, file), 'utf8'));
rmSync(folder, { recursive: true });

const nodes = new Map();
for (const { cat, name: title, dur, args } of events) {
  if (cat !== 'Node' || !title.endsWith('_kernel_time')) continue;
  const shapes = JSON.stringify(args.input_type_shape.map((one) => Object.values(one)[0]));
  const key = `${title.replace('_kernel_time', '')} ${shapes}`;
  nodes.set(key, { op: args.op_name, us: Math.min(dur, nodes.get(key)?.us ?? Infinity) });
}
const rows = new Map();
for (const [key, { op, us }] of nodes) {
  const row = rows.get(by === 'op' ? op : key) ?? { us: 0, count: 0 };
  rows.set(by === 'op' ? op : key, { us: row.us + us, count: row.count + 1 });
}
const total = [...nodes.values()].reduce((sum, { us }) => sum + us, 0);
console.log(`${name}, ${threads} threads: ${nodes.size} nodes, ${(total / 1000).toFixed(2)} ms in kernels`);
for (const [key, { us, count }] of [...rows].toSorted((a, b) => b[1].us - a[1].us).slice(0, Number(lines))) {
  console.log(`${String(us).padStart(7)} us ${String(count).padStart(4)}  ${key.slice(0, 160)}`);
}
