// The plain loop that the voice detector's package is held to: onnxruntime-node as it is published, the state carried by hand. A
// process of its own, since the binding and its threads have no place in a test's. Samples come on stdin as float32 frames.
//
//   node vad-loop.mjs GRAPH FRAME_LENGTH < FRAMES > PROBABILITIES (float32)
import { readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../shared/package.json', import.meta.url));
const { InferenceSession, Tensor } = require('onnxruntime-node');
const [graph, length] = [process.argv[2], Number(process.argv[3])];
const session = await InferenceSession.create(graph, { intraOpNumThreads: 1, logSeverityLevel: 4 });
const input = readFileSync(0);
const samples = new Float32Array(input.buffer.slice(input.byteOffset, input.byteOffset + input.byteLength));
const sr = new Tensor('int64', BigInt64Array.of(16_000n), []);
let state = new Tensor('float32', new Float32Array(2 * 128), [2, 1, 128]);
const probabilities = new Float32Array(samples.length / length);
for (let i = 0; i < probabilities.length; i += 1) {
  const frame = new Tensor('float32', samples.subarray(i * length, (i + 1) * length), [1, length]);
  const made = await session.run({ input: frame, state, sr });
  state = made.stateN;
  probabilities[i] = made.output.data[0];
}
writeSync(1, new Uint8Array(probabilities.buffer));
