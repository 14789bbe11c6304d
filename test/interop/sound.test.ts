// The steps for sound against the libraries whose definitions they follow: WAV files as soundfile writes them, and mel spectrograms of one and of
// thirty seconds as librosa and Whisper make them, within 1e-4.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, test } from 'vitest';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Tensor } from '@tidegate/shared/tensor/tensor.js';
import { runPythonChecks } from './python-checks.js';
import { describeWithPython, pythonEnvironment } from './python-environment.js';

const MAKE_TIMEOUT_MS = 420_000;
const script = fileURLToPath(new URL('./python/sound_checks.py', import.meta.url));
const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };

interface Case {
  readonly name: string;
  readonly file: string;
  readonly audio: object;
  readonly mel?: object;
}

await describeWithPython('librosa', 'librosa, soundfile', (python) => {
  let folder: string;
  let librosa: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidegate-sound-'));
    librosa = await pythonEnvironment(python, 'librosa');
    await promisify(execFile)(librosa, [script, 'make', folder]);
  }, MAKE_TIMEOUT_MS);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('hears the same sounds and sees the same spectrograms', async () => {
    const cases = JSON.parse(await readFile(join(folder, 'cases.json'), 'utf8')) as Case[];
    for (const { name, file, audio, mel } of cases) {
      const sound = await apply('decode-audio', audio, await fileOf(join(folder, file)));
      const { data } = mel === undefined ? sound : await apply('mel-spectrogram', mel, sound);
      await writeFile(join(folder, `${name}.f32`), data);
    }
    await runPythonChecks('librosa 0.11.0', librosa, 'sound_checks.py', ['check', folder], 17);
  });
});

async function fileOf(path: string): Promise<Tensor> {
  return { datatype: 'BYTES', shape: [1], data: encodeBytes([await readFile(path)]) };
}

async function apply(name: string, parameters: object, input: Tensor): Promise<Tensor> {
  const step = await findStep(name).prepare(parameters, noAssets);
  const [out] = await step.run([input], signal);
  if (out === undefined) throw new Error(`${name} made nothing`);
  return out;
}
