// Runs a package's goldens through whatever answers inference, and scores the answers. The hub does it at publish and for
// every variant, the device before it switches to a version: the same goldens, the same score.
import { z } from 'zod';
import type { Clock } from '../system/clock.js';
import { encodeBytes } from '../tensor/bytes.js';
import { isDatatype } from '../tensor/datatype.js';
import { elementCount, tensor, type NamedTensor, type Tensor } from '../tensor/tensor.js';
import { goldensFileSchema, type Goldens, type ModelYaml } from '../wire/model-yaml.js';
import { numbersToBytes } from './golden-tensors.js';
import type { ModelPackage } from './model-package.js';
import { PackageError } from './package-error.js';
import { overall, passes, scoreGolden } from './score-goldens.js';

const LIMIT_GOLDENS = 10_000;
const LIMIT_GOLDENS_FILE_BYTES = 32 * 1024 * 1024;

/** Answers one request: inputs by name, names of the wanted outputs. */
export type InferGolden = (
  inputs: readonly NamedTensor[],
  outputs: readonly string[],
  signal: AbortSignal,
) => Promise<readonly NamedTensor[]>;

interface GoldenCase {
  readonly id: string;
  readonly group: string | undefined;
  readonly score: number;
  readonly exact: boolean;
  readonly latencyMs: number;
}

export interface GoldensResult {
  readonly passed: boolean;
  /** Mean score; for max-abs-error the largest error. */
  readonly score: number;
  readonly threshold: number;
  readonly count: number;
  readonly groupScores: Readonly<Record<string, number>>;
  /** How many were answered exactly as expected. */
  readonly exact: number;
  /** Of each golden, in the file's order. */
  readonly latenciesMs: readonly number[];
  readonly cases: readonly GoldenCase[];
}

interface RunGoldensOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number, count: number) => void;
}

/**
 * One golden after the other, so that latencies are those of a quiet device. A package without goldens passes with count
 * 0. Rejects with PackageError `invalid-goldens`, and with `infer`'s error: an answer that fails is no low score.
 */
export async function runGoldens(
  pack: ModelPackage,
  infer: InferGolden,
  { clock, signal, onProgress }: RunGoldensOptions,
): Promise<GoldensResult> {
  const settings = pack.yaml.goldens;
  if (settings === undefined) {
    const none = { score: 1, threshold: 0, count: 0, groupScores: {}, exact: 0, latenciesMs: [], cases: [] };
    return { passed: true, ...none };
  }
  const goldens = await readGoldens(pack, settings.file);
  const cases: GoldenCase[] = [];
  for (const golden of goldens) {
    signal.throwIfAborted();
    const inputs = await inputsOf(pack, settings.file, golden);
    const startMs = clock.monotonicMs();
    const answer = await infer(inputs, [settings.output], signal);
    const latencyMs = clock.monotonicMs() - startMs;
    const output = answer.find(({ name }) => name === settings.output);
    if (output === undefined) throw new Error(`golden ${golden.id}: the answer lacks output '${settings.output}'`);
    cases.push({
      id: golden.id,
      group: golden.group,
      latencyMs,
      ...scoreGolden(settings.metric, golden.expected, output),
    });
    onProgress?.(cases.length, goldens.length);
  }
  return summarise(settings, cases);
}

/**
 * Runs the inputs of at most `countMax` goldens, spread over the file, and looks at no answer. Nothing without goldens. Rejects as
 * runGoldens.
 */
export async function runGoldenInputs(
  pack: ModelPackage,
  infer: InferGolden,
  countMax: number,
  { signal, onProgress }: Omit<RunGoldensOptions, 'clock'>,
): Promise<void> {
  const settings = pack.yaml.goldens;
  if (settings === undefined) return;
  const goldens = await readGoldens(pack, settings.file);
  const count = Math.min(goldens.length, countMax);
  for (let done = 0; done < count; done++) {
    signal.throwIfAborted();
    const golden = goldens[Math.floor((done * goldens.length) / count)];
    if (golden !== undefined) await infer(await inputsOf(pack, settings.file, golden), [settings.output], signal);
    onProgress?.(done + 1, count);
  }
}

function summarise(
  { metric, threshold }: NonNullable<ModelYaml['goldens']>,
  cases: readonly GoldenCase[],
): GoldensResult {
  const score = overall(
    metric,
    cases.map((one) => one.score),
  );
  const groups = [...new Set(cases.flatMap(({ group }) => (group === undefined ? [] : [group])))].sort();
  const inGroup = (name: string): number[] => cases.filter(({ group }) => group === name).map((one) => one.score);
  return {
    passed: passes(metric, score, threshold),
    score,
    threshold,
    count: cases.length,
    groupScores: Object.fromEntries(groups.map((name) => [name, overall(metric, inGroup(name))])),
    exact: cases.filter(({ exact }) => exact).length,
    latenciesMs: cases.map(({ latencyMs }) => latencyMs),
    cases,
  };
}

/** Reads and checks a goldens file. Rejects with PackageError `invalid-goldens`, `not-found`, `too-large`. */
async function readGoldens(pack: ModelPackage, file: string): Promise<Goldens> {
  const text = await pack.read(file);
  if (text.byteLength > LIMIT_GOLDENS_FILE_BYTES) {
    throw new PackageError('too-large', `is larger than ${LIMIT_GOLDENS_FILE_BYTES} bytes`, { file });
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PackageError('invalid-goldens', `is not JSON: ${message}`, { file }, { cause });
  }
  const parsed = goldensFileSchema.and(z.array(z.unknown()).max(LIMIT_GOLDENS)).safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const place = { file, field: issue?.path.map(String).join('.') ?? '' };
    throw new PackageError('invalid-goldens', issue?.message ?? 'is not valid', place, { cause: parsed.error });
  }
  return parsed.data;
}

async function inputsOf(pack: ModelPackage, file: string, golden: Goldens[number]): Promise<NamedTensor[]> {
  const inputs: NamedTensor[] = [];
  for (const [name, value] of Object.entries(golden.inputs)) {
    const content: Tensor =
      'file' in value
        ? { datatype: 'BYTES', shape: [1], data: encodeBytes([await pack.read(value.file)]) }
        : literal(value, { file, field: `${golden.id}.inputs.${name}` });
    inputs.push(tensor(name, content.datatype, content.shape, content.data));
  }
  return inputs;
}

interface Literal {
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly (number | string | boolean)[];
}

function literal({ datatype, shape, data }: Literal, place: { file: string; field: string }): Tensor {
  if (!isDatatype(datatype)) throw new PackageError('invalid-goldens', `unknown datatype ${datatype}`, place);
  const count = elementCount(shape);
  if (count !== data.length) {
    throw new PackageError(
      'invalid-goldens',
      `has ${data.length} elements, but its shape [${shape.join(', ')}] takes ${count}`,
      place,
    );
  }
  const bytes = numbersToBytes(datatype, data);
  if (bytes === undefined) throw new PackageError('invalid-goldens', `holds an element that is no ${datatype}`, place);
  return { datatype, shape, data: bytes };
}
