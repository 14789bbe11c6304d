// How long RapidOCR and this package take for the same pictures on the same cores: a served agent over HTTP and a Python
// process, both warm, asked in turns so that whatever else the machine does falls on both. Prints milliseconds and the ratio.
//
//   node examples/ocr/reference/compare-speed.mjs PYTHON_WITH_RAPIDOCR [ROUNDS]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { modelsFolder } from '../../ocr-line/assemble.mjs';
import { assemble } from '../assemble.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));
const [python, roundsText = '3'] = process.argv.slice(2);
if (python === undefined) throw new Error('usage: compare-speed.mjs PYTHON_WITH_RAPIDOCR [ROUNDS]');

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const linesFrom = (child) => createInterface({ input: child.stdout })[Symbol.asyncIterator]();

async function picturePaths() {
  const folders = ['goldens', 'layouts'].map((name) => join(here, '..', name));
  const found = await Promise.all(
    folders.map(async (folder) => (await readdir(folder)).map((file) => join(folder, file))),
  );
  return found.flat().filter((path) => path.endsWith('.webp'));
}

function startRapid() {
  const child = spawn(python, [join(here, 'rapidocr-speed.py'), modelsFolder()], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const answers = linesFrom(child);
  const read = async (path) => {
    child.stdin.write(`${path}\n`);
    return Number((await answers.next()).value);
  };
  return { child, read };
}

async function startAgent(folder, port) {
  const main = join(root, 'edge-agent/bin/tidegate-agent.js');
  const child = spawn(process.execPath, [main, 'serve', folder, '--http-port', String(port), '--grpc-port', '0'], {
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${port}/v2/models/ocr`;
  for (let waitedMs = 0; !(await fetch(`${url}/ready`).catch(() => undefined))?.ok; waitedMs += 100) {
    if (child.exitCode !== null || waitedMs >= 60_000) {
      child.kill();
      throw new Error('the agent did not become ready');
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const read = async (path) => {
    const picture = await readFile(path);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(picture.byteLength);
    const data = Buffer.concat([length, picture]);
    const head = JSON.stringify({
      inputs: [{ name: 'picture', datatype: 'BYTES', shape: [1], parameters: { binary_data_size: data.byteLength } }],
      parameters: { cache: 'bypass' },
    });
    const startMs = performance.now();
    const response = await fetch(`${url}/infer`, {
      method: 'POST',
      headers: { 'inference-header-content-length': String(Buffer.byteLength(head)) },
      body: Buffer.concat([Buffer.from(head), data]),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return performance.now() - startMs;
  };
  return { child, read };
}

const folder = await assemble(await mkdtemp(join(tmpdir(), 'tidegate-ocr-speed-')));
const agent = await startAgent(folder, 18_431);
const rapid = startRapid();
try {
  const paths = await picturePaths();
  for (const path of paths.slice(0, 3)) await Promise.all([rapid.read(path), agent.read(path)]);
  const rounds = [];
  for (let round = 0; round < Number(roundsText); round += 1) {
    let [theirs, ours] = [0, 0];
    for (const [at, path] of paths.entries()) {
      if ((at + round) % 2 === 0) theirs += await rapid.read(path);
      ours += await agent.read(path);
      if ((at + round) % 2 === 1) theirs += await rapid.read(path);
    }
    rounds.push({ theirs: theirs / paths.length, ours: ours / paths.length });
    const { theirs: rapidMs, ours: agentMs } = rounds.at(-1);
    process.stdout.write(
      `RapidOCR ${rapidMs.toFixed(1)} ms, agent ${agentMs.toFixed(1)} ms a picture, ratio ${(agentMs / rapidMs).toFixed(3)}\n`,
    );
  }
  process.stdout.write(`median ratio ${median(rounds.map(({ theirs, ours }) => ours / theirs)).toFixed(3)}\n`);
} finally {
  rapid.child.stdin.end();
  const ended = once(agent.child, 'exit');
  if (agent.child.kill()) await ended;
  await rm(folder, { recursive: true });
}
