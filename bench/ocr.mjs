// Full OCR (examples/ocr) over HTTP against RapidOCR in a Python process: the same three graphs, the same 40 pictures, all cores each
// and both as they come. Picture by picture in turns, the other stopped meanwhile; each round reads its part of the pictures.
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assemble } from '../examples/ocr/assemble.mjs';
import { modelsFolder } from '../examples/ocr-line/assemble.mjs';
import { startAgent } from './agent.mjs';
import { ask } from './answers.mjs';
import { installPeers } from './peers/peers.mjs';
import { rapidocr } from './peers/rapidocr.mjs';
import { signalTree } from './processes.mjs';
import { httpRequest } from './requests.mjs';
import { figures, ratio } from './statistics.mjs';

const OCR = fileURLToPath(new URL('../examples/ocr', import.meta.url));
const WARM_UP_PICTURES = 3;
const QUICK_PICTURES = 6;

const picturePaths = () =>
  ['goldens', 'layouts'].flatMap((name) =>
    readdirSync(join(OCR, name))
      .filter((file) => file.endsWith('.webp'))
      .map((file) => join(OCR, name, file)),
  );

/** Asks for a picture's lines; its milliseconds. */
async function read(agent, path) {
  const picture = readFileSync(path);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(picture.byteLength);
  const json = JSON.stringify({
    inputs: [
      { name: 'picture', datatype: 'BYTES', shape: [1], parameters: { binary_data_size: picture.byteLength + 4 } },
    ],
    parameters: { cache: 'bypass' },
  });
  const request = httpRequest({
    path: '/v2/models/ocr/infer',
    headers: [['Inference-Header-Content-Length', Buffer.byteLength(json)]],
    body: Buffer.concat([Buffer.from(json), length, picture]),
  });
  const startedMs = performance.now();
  await ask(agent, request);
  return performance.now() - startedMs;
}

export async function ocr({ folder, rounds, quick, peers, say }) {
  const name = 'OCR';
  const { installed, skipped } = await installPeers(['rapidocr'], peers, say);
  if (installed.rapidocr === undefined) return [{ name, about: skipped[0] }];
  const agent = await startAgent([await assemble(await mkdtemp(join(folder, 'ocr-')))]);
  const rapid = await rapidocr.start(installed.rapidocr, modelsFolder());
  const sides = {
    tidegate: { pid: agent.pid, read: (path) => read(agent, path) },
    rapidocr: { pid: rapid.pid, read: async (path) => (await rapid.ask(path)).ms },
  };
  const turn = async (key, path) => {
    const other = key === 'tidegate' ? sides.rapidocr : sides.tidegate;
    signalTree(other.pid, 'SIGSTOP');
    try {
      return await sides[key].read(path);
    } finally {
      signalTree(other.pid, 'SIGCONT');
    }
  };
  const paths = picturePaths().slice(0, quick ? QUICK_PICTURES : undefined);
  for (const path of paths.slice(0, WARM_UP_PICTURES)) for (const key of Object.keys(sides)) await turn(key, path);
  const measured = { tidegate: [], rapidocr: [] };
  for (let round = 0; round < rounds; round += 1) {
    const part = paths.filter((_, i) => i % rounds === round);
    const spent = { tidegate: 0, rapidocr: 0 };
    for (const [at, path] of part.entries()) {
      const order = (at + round) % 2 === 0 ? ['tidegate', 'rapidocr'] : ['rapidocr', 'tidegate'];
      for (const key of order) spent[key] += await turn(key, path);
    }
    if (part.length > 0) for (const key of Object.keys(spent)) measured[key].push({ ms: spent[key] / part.length });
    say(`OCR: round ${round + 1} of ${rounds}`);
  }
  await Promise.all([agent.stop(), rapid.stop()]);
  const ms = (one) => one.ms;
  return [
    {
      name,
      about: `${paths.length} pictures with several lines each, one at a time, on all cores`,
      plot: 'ms a picture',
      contestants: {
        tidegate: { note: 'examples/ocr over HTTP', figures: figures(measured.tidegate, { 'ms a picture': ms }) },
        rapidocr: { note: installed.rapidocr.about, figures: figures(measured.rapidocr, { 'ms a picture': ms }) },
      },
      ratios: [{ what: 'time, tidegate / rapidocr', ...ratio(measured.tidegate, measured.rapidocr, ms), atMost: 1 }],
    },
  ];
}
