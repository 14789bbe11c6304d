// Assembles the package in a folder: model.yaml and the small model from here, the large one and the goldens from examples/digits.
//
//   node examples/cascade/assemble.mjs FOLDER
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const FILES = ['model.yaml', 'small.onnx', '../digits/digits.onnx', '../digits/goldens.json'];

/** Writes the package into `folder`, which is made where it isn't there; returns `folder`. */
export async function assemble(folder) {
  await mkdir(folder, { recursive: true });
  for (const file of FILES) await copyFile(join(here, file), join(folder, file.replace('../digits/', '')));
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, ...more] = process.argv.slice(2);
  if (folder === undefined || more.length > 0) {
    process.stderr.write('usage: node examples/cascade/assemble.mjs FOLDER\n');
    process.exitCode = 2;
  } else {
    await assemble(folder);
    process.stdout.write(`${folder}\n`);
  }
}
