// Streams a WAV file through the voice detector of a running agent, frame by frame as a microphone would, and prints when somebody
// speaks. Each frame is one HTTP request of one sequence; the network's memory stays in the agent.
//
//   node examples/vad/stream-wav.mjs FILE.wav [http://127.0.0.1:8000]
import { readFile } from 'node:fs/promises';
import { FRAME, frames, RATE, readWav } from './sound.mjs';

/** Silero's own: speech begins above the one, and ends below the other. */
const BEGINS = 0.5;
const ENDS = 0.35;

const [file, agent = 'http://127.0.0.1:8000', ...more] = process.argv.slice(2);
if (file === undefined || more.length > 0) {
  process.stderr.write('usage: node examples/vad/stream-wav.mjs FILE.wav [http://127.0.0.1:8000]\n');
  process.exit(2);
}

async function ask(audio, parameters) {
  const inputs = [
    { name: 'audio', datatype: 'FP32', shape: [1, audio.length], data: Array.from(audio) },
    { name: 'sr', datatype: 'INT64', shape: [], data: [RATE] },
  ];
  const body = JSON.stringify({ parameters, inputs });
  const response = await fetch(`${agent}/v2/models/vad/infer`, { method: 'POST', body });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer.outputs[0].data[0];
}

const all = [...frames(readWav(await readFile(file)))];
const sequence = `${file.slice(-64)} ${process.pid}`;
const seconds = (frame) => ((frame * FRAME) / RATE).toFixed(2).padStart(7);
let began;
for (const [i, audio] of all.entries()) {
  const flags = { sequence_id: sequence, sequence_start: i === 0, sequence_end: i === all.length - 1 };
  const speech = await ask(audio, flags);
  if (began === undefined && speech >= BEGINS) began = i;
  if (began !== undefined && (speech < ENDS || i === all.length - 1)) {
    process.stdout.write(`${seconds(began)} s to ${seconds(i)} s  speech\n`);
    began = undefined;
  }
}
