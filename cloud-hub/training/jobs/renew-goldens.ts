// What becomes of a parent's goldens in a version that was trained from it. Expected values of two kinds stand in them. Some are the truth:
// a class, a text, what a picture shows; training changes nothing about that, so they stay, and the new version is held to the package's
// threshold like any other. Others are the parent's own numbers (scores, a confidence), written down so that a variant, or a device, can
// be compared with the original; for a version with other weights the original is the version itself, so they are computed anew.
//   max-abs-error                       numbers of the model
//   exact, with a list of numbers       numbers of the model
//   exact, with one number              the model's where the output is a float, else the truth (a class)
//   exact with a text, top1, character-accuracy     the truth
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { runGoldens } from '@tidegate/shared/package/run-goldens.js';
import { numbersOf } from '@tidegate/shared/package/score-goldens.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { goldensFileSchema, type Goldens, type ModelYaml } from '@tidegate/shared/wire/model-yaml.js';

/** A package that answers, for whoever asks only. */
interface AnsweringPackage {
  answer(
    inputs: readonly NamedTensor[],
    outputs: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly NamedTensor[]>;
  close(): Promise<void>;
}

export type RunPackage = (pack: ModelPackage, signal: AbortSignal) => Promise<AnsweringPackage>;

/**
 * The goldens file of the package at `folder`, with the model's numbers computed anew; undefined where it holds none of them. Rejects with
 * PackageError, and with what running the package rejects with.
 */
export async function renewedGoldens(
  folder: string,
  run: RunPackage,
  clock: Clock,
  signal: AbortSignal,
): Promise<string | undefined> {
  const pack = await openPackage(folder, { inspect: inspectGraphFile });
  const settings = pack.yaml.goldens;
  if (settings === undefined) return undefined;
  const goldens = await readGoldens(pack, settings.file);
  if (!goldens.some(({ expected }) => isModelsNumber(pack.yaml, expected))) return undefined;
  const answers = await answersOf(pack, run, clock, signal);
  const lines = goldens.map((golden, at) => {
    const numbers = isModelsNumber(pack.yaml, golden.expected) ? answers[at] : undefined;
    const expected = typeof golden.expected === 'number' ? numbers?.[0] : numbers;
    return JSON.stringify(expected === undefined ? golden : { ...golden, expected });
  });
  return `[\n${lines.join(',\n')}\n]\n`;
}

/** Is this expected value a number that the model made? */
export function isModelsNumber(yaml: ModelYaml, expected: Goldens[number]['expected']): boolean {
  const { goldens, outputs } = yaml;
  if (goldens === undefined || typeof expected === 'string') return false;
  if (goldens.metric === 'max-abs-error') return true;
  if (goldens.metric !== 'exact') return false;
  if (Array.isArray(expected)) return true;
  const datatype = outputs.find(({ name }) => name === goldens.output)?.datatype;
  return datatype === 'FP32' || datatype === 'FP64';
}

async function readGoldens(pack: ModelPackage, file: string): Promise<Goldens> {
  const text = new TextDecoder().decode(await pack.read(file));
  return goldensFileSchema.parse(JSON.parse(text)); // the registry checked it when the parent was published
}

/** Numbers of the compared output, in the goldens' order. */
async function answersOf(
  pack: ModelPackage,
  run: RunPackage,
  clock: Clock,
  signal: AbortSignal,
): Promise<(readonly number[] | undefined)[]> {
  const answers: (readonly number[] | undefined)[] = [];
  const running = await run(pack, signal);
  try {
    await runGoldens(
      pack,
      async (inputs, outputs, inner) => {
        const answer = await running.answer(inputs, outputs, inner);
        const output = answer.find(({ name }) => name === outputs[0]);
        answers.push(output === undefined ? undefined : numbersOf(output));
        return answer;
      },
      { clock, signal },
    );
  } finally {
    await running.close();
  }
  return answers;
}
