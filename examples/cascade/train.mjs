// Makes small.onnx again: one matrix (softmax regression), from the digits that examples/digits trained on, in a few seconds and always the same.
// Prints how well it does on those that neither has seen, and for several thresholds how many of them it would hand on.
//
//   npm run build && node examples/cascade/train.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '../../shared/dist/onnx/make-node.js';
import { encodeModel } from '../../shared/dist/onnx/model-codec.js';
import { makeTensor } from '../../shared/dist/onnx/tensor-data.js';
import { seededRandom } from '../../shared/dist/system/random.js';
import { bytesOf } from '../../shared/dist/tensor/tensor.js';

const [PIXELS, CLASSES, BATCH, EPOCHS, RATE, DECAY] = [784, 10, 50, 12, 0.1, 1e-4];
const FLOAT = 1;

/** Of each class, in the data's order, the first 80% train: the split of examples/digits/train.py. */
function readDigits() {
  const folder = join(dirname(createRequire(import.meta.url).resolve('mnist/package.json')), 'src/digits');
  const [train, heldOut] = [[], []];
  for (let label = 0; label < CLASSES; label += 1) {
    const { data } = JSON.parse(readFileSync(join(folder, `${label}.json`), 'utf8'));
    const count = Math.floor(data.length / PIXELS);
    for (let i = 0; i < count; i += 1) {
      const digit = { label, pixels: Float32Array.from(data.slice(i * PIXELS, (i + 1) * PIXELS)) };
      (i < Math.floor(count * 0.8) ? train : heldOut).push(digit);
    }
  }
  return { train, heldOut };
}

function probabilities(pixels, weights, bias) {
  const scores = Float64Array.from(bias);
  for (let p = 0; p < PIXELS; p += 1) {
    if (pixels[p] === 0) continue;
    for (let c = 0; c < CLASSES; c += 1) scores[c] += pixels[p] * weights[p * CLASSES + c];
  }
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((all, one) => all + one, 0);
  return powers.map((power) => power / sum);
}

function learn(train) {
  const random = seededRandom(1);
  const [weights, bias] = [new Float64Array(PIXELS * CLASSES), new Float64Array(CLASSES)];
  for (let step = 0; step < (EPOCHS * train.length) / BATCH; step += 1) {
    const slope = new Float64Array(PIXELS * CLASSES);
    for (let i = 0; i < BATCH; i += 1) {
      const { pixels, label } = train[Math.floor(random.next() * train.length)];
      const errors = probabilities(pixels, weights, bias).map((one, c) => one - (c === label ? 1 : 0));
      for (let c = 0; c < CLASSES; c += 1) bias[c] -= (RATE * errors[c]) / BATCH;
      for (let p = 0; p < PIXELS; p += 1) {
        if (pixels[p] === 0) continue;
        for (let c = 0; c < CLASSES; c += 1) slope[p * CLASSES + c] += pixels[p] * errors[c];
      }
    }
    for (let i = 0; i < weights.length; i += 1) weights[i] -= RATE * (slope[i] / BATCH + DECAY * weights[i]);
  }
  return { weights, bias };
}

function write({ weights, bias }) {
  const initializers = [
    makeTensor('shape', 7, [2], bytesOf(BigInt64Array.of(-1n, BigInt(PIXELS)))),
    makeTensor('weights', FLOAT, [PIXELS, CLASSES], bytesOf(Float32Array.from(weights))),
    makeTensor('bias', FLOAT, [CLASSES], bytesOf(Float32Array.from(bias))),
  ];
  const nodes = [
    makeNode('Reshape', ['image', 'shape'], ['flat']),
    makeNode('Gemm', ['flat', 'weights', 'bias'], ['logits']),
  ];
  const input = makeValue('image', FLOAT, ['n', 1, 28, 28]);
  const graph = makeGraph(nodes, [input], [makeValue('logits', FLOAT, ['n', CLASSES])], initializers);
  writeFileSync(
    new URL('./small.onnx', import.meta.url),
    Buffer.concat([...encodeModel(makeModel(graph, { '': 17 }))]),
  );
}

const { train, heldOut } = readDigits();
const model = learn(train);
write(model);
const answers = heldOut.map(({ pixels, label }) => {
  const scores = probabilities(pixels, model.weights, model.bias);
  const sure = Math.max(...scores);
  return { sure, right: scores.indexOf(sure) === label };
});
const share = (kept) => `${((100 * kept.length) / answers.length).toFixed(1)} %`;
console.log(`right: ${share(answers.filter(({ right }) => right))} of ${answers.length}`);
for (const below of [0.5, 0.7, 0.8, 0.9, 0.95]) {
  const own = answers.filter(({ sure }) => sure >= below);
  const wrong = own.filter(({ right }) => !right).length;
  console.log(
    `below ${below}: hands on ${share(answers.filter(({ sure }) => sure < below))}, gets ${wrong} of its own ${own.length} wrong`,
  );
}
