// The two models of the throughput rows. The targets speak of a ~20 ms and a ~1 ms model, so their sizes follow the machine: the time
// of one run is measured at a small size, and the size chosen that comes near. Requests and answers grow with it.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { modelsFolder } from '../examples/ocr-line/assemble.mjs';
import { startScript } from './processes.mjs';

const MEASURE_MS = 400;

/** Three convolutions, 0.3 to 1 ms as it is; `models/make_models.py` made it. */
export const CONV = {
  name: 'conv',
  file: fileURLToPath(new URL('models/conv.onnx', import.meta.url)),
  input: 'image',
  shape: [1, 3, 64, 64],
  output: { name: 'scores', shape: [1, 10] },
};
export const RECOGNISER = {
  name: 'recogniser',
  file: join(modelsFolder(), 'ch_PP-OCRv4_rec_infer.onnx'),
  input: 'x',
  shape: [1, 3, 48, 240],
  output: { name: 'softmax_11.tmp_0', shape: [1, -1, 6625] },
};

/** Both, in `folder` under their names, `runMs` near 20 and 1: `{ name, about, file, input, shape, runMs }`. */
export async function timedModels(folder) {
  const recogniser = await timedRecogniser(folder, 20);
  const conv = await sized(CONV, folder, 1, (by) => {
    const side = stepped(64 * Math.sqrt(by), 8, 256);
    return [1, 3, side, side];
  });
  return [
    { ...recogniser, about: `PP-OCRv4 line recogniser, [${recogniser.shape}]` },
    { ...conv, about: `three convolutions, [${conv.shape}]` },
  ];
}

/** The recogniser at a width at which a run takes about `wantedMs`. */
export function timedRecogniser(folder, wantedMs) {
  return sized(RECOGNISER, folder, wantedMs, (by) => [1, 3, 48, stepped(240 * by, 16, 960)]);
}

const stepped = (value, step, most) => Math.min(most, Math.max(step, Math.round(value / step) * step));

async function sized(model, folder, wantedMs, shapeFor) {
  const shape = shapeFor(wantedMs / (await runMsOf(model.file, model.shape)));
  const file = join(folder, `${model.name}.onnx`);
  copyFileSync(model.file, file);
  if (model === CONV) fixInput(file, shape);
  return { ...model, file, shape, runMs: await runMsOf(file, shape) };
}

/** Processor time of a run on one thread: what waits for a core is not in it. */
async function runMsOf(file, shape) {
  const loop = await startScript('bare-loop.mjs', ['capi', file, shape.join()]);
  const { cpuUs } = await loop.ask(MEASURE_MS);
  await loop.stop();
  return cpuUs / 1000;
}

/** Declares another input shape: the graph averages over what is left of the picture, so it takes any. */
function fixInput(file, shape) {
  const model = decodeModel(readFileSync(file));
  for (const [axis, dim] of model.graph.input[0].type.tensorType.shape.dim.entries()) dim.dimValue = shape[axis];
  writeFileSync(file, Buffer.concat(encodeModel(model)));
}
