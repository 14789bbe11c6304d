// Whether loading and unloading leaks: an agent loads a model, answers once and unloads it, many times, and now and then is told to
// load a file that is broken. Its resident memory, descriptors and children at the end, against those after the first tenth, in which
// the heap finds its size (field lesson B21).
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { startAgent } from './agent.mjs';
import { CONV } from './bench-models.mjs';
import { childrenOf } from './processes.mjs';
import { median } from './statistics.mjs';

const GROWTH_MOST = 1.1;
const USUAL = { loads: 1000, failures: 200 };
const QUICK = { loads: 60, failures: 12 };
/** Of all loads: before and at the end. */
const SAMPLED_SHARE = 0.1;

const REQUEST = {
  method: 'POST',
  body: JSON.stringify({
    inputs: [{ name: CONV.input, datatype: 'FP32', shape: CONV.shape, data: new Array(3 * 64 * 64).fill(0.5) }],
  }),
};

async function post(url, request = { method: 'POST' }) {
  const response = await fetch(url, request);
  const text = await response.text();
  return { ok: response.status === 200, text };
}

async function mustPost(url, request) {
  const { ok, text } = await post(url, request);
  if (!ok) throw new Error(`${url}: ${text}`);
}

/** One that is refused here, and one that the engine refuses in an executor of its own; each with what is said of it. */
function brokenFiles() {
  const model = decodeModel(readFileSync(CONV.file));
  for (const node of model.graph.node) if (node.opType === 'Conv') node.opType = 'Nonsense';
  return [
    [Buffer.from('no graph'), /graph|ONNX|protobuf/i],
    [Buffer.concat(encodeModel(model)), /Nonsense/],
  ];
}

/** Resident kilobytes, open files, children. */
function footprint(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    rssKb: Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]),
    files: readdirSync(`/proc/${pid}/fd`).length,
    children: childrenOf(pid).length,
  };
}

export async function loadUnload({ folder, quick, say, loads, failures }) {
  const name = 'Load and unload';
  const about = 'resident memory of the agent after many loads, against after the first tenth';
  if (process.platform !== 'linux') return [{ name, about, notes: ['skipped: it reads /proc'] }];
  const usual = quick ? QUICK : USUAL;
  const counts = { loads: loads ?? usual.loads, failures: failures ?? usual.failures };
  const file = join(folder, 'conv.onnx');
  copyFileSync(CONV.file, file);
  const agent = await startAgent([file]);
  const model = `${agent.url}/v2/repository/models/conv`;
  const failEvery = counts.failures === 0 ? Infinity : counts.loads / counts.failures;
  const broken = brokenFiles();
  const samples = [];
  let failed = 0;
  for (let i = 0; i < counts.loads; i += 1) {
    await mustPost(`${model}/unload`);
    await mustPost(`${model}/load`);
    await mustPost(`${agent.url}/v2/models/conv/infer`, REQUEST);
    if ((failed + 1) * failEvery <= i + 1) {
      const [bytes, why] = broken[failed % broken.length];
      failed += 1;
      writeFileSync(file, bytes);
      const { ok, text } = await post(`${model}/load`);
      copyFileSync(CONV.file, file);
      if (ok || !why.test(text)) throw new Error(`a broken file: ${text}`);
    }
    samples.push(footprint(agent.pid));
    if ((i + 1) % 50 === 0)
      say(`load and unload: ${i + 1} of ${counts.loads}, ${failed} refused, ${samples.at(-1).rssKb} KB`);
  }
  await agent.stop();
  return [result(name, about, samples, counts, failed)];
}

function result(name, about, samples, { loads }, failed) {
  const share = Math.max(1, Math.floor(samples.length * SAMPLED_SHARE));
  const stretches = { 'after a tenth': samples.slice(share, 2 * share), 'at the end': samples.slice(-share) };
  const of = (list, what) => median(list.map((sample) => sample[what]));
  const [early, late] = Object.values(stretches);
  const contestants = Object.fromEntries(
    Object.entries(stretches).map(([title, list]) => [
      title,
      { figures: { 'RSS MB': of(list, 'rssKb') / 1024, files: of(list, 'files'), children: of(list, 'children') } },
    ]),
  );
  return {
    name,
    about: `${about}; ${loads} loads with an answer each, ${failed} refused`,
    contestants,
    ratios: [
      {
        what: 'memory at the end / after a tenth (B21)',
        median: of(late, 'rssKb') / of(early, 'rssKb'),
        atMost: GROWTH_MOST,
      },
      { what: 'open files at the end / after a tenth', median: of(late, 'files') / of(early, 'files'), atMost: 1 },
    ],
  };
}
