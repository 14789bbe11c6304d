// Two models of the repository behind a branch, through real executors: the large one is run for the digits of which the small one is unsure, and
// for no other.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, tensor, type NamedTensor, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { goldensFileSchema } from '@tidegate/shared/wire/model-yaml.js';
import { assemble } from '../../examples/cascade/assemble.mjs';
import { temporaryFolders } from '../support/temporary-folder.js';

const newFolder = temporaryFolders('cascade');
const digest = `sha256:${'0'.repeat(64)}`;
const identity = { name: 'cascade', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 64, heavy: false } as const;
const signal = (): AbortSignal => new AbortController().signal;
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
const BELOW = 0.9;
/** The scheduler has to see first that batches pay. */
const ROUNDS = 10;

let model: ServedModel;
let digits: { pixels: Float32Array; label: string }[];

beforeAll(async () => {
  const folder = await assemble(newFolder());
  const modules = { runtime, inspect: inspectGraphFile, clock: systemClock };
  model = await openServedModel(folder, identity, options, modules, signal());
  const goldens = goldensFileSchema.parse(JSON.parse(await readFile(join(folder, 'goldens.json'), 'utf8')));
  digits = goldens.map(({ inputs: { image }, expected }) => ({
    pixels: Float32Array.from(image !== undefined && 'data' in image ? image.data : [], Number),
    label: String(expected),
  }));
});
afterAll(() => runtime.close());

const images = (wanted: readonly { pixels: Float32Array }[]): NamedTensor[] => {
  const all = Float32Array.from(wanted.flatMap(({ pixels }) => [...pixels]));
  return [tensor('image', 'FP32', [wanted.length, 1, 28, 28], bytesOf(all))];
};
const ask = async (
  wanted: typeof digits,
  outputs: string[] = [],
  choices: unknown[] = [],
): Promise<readonly Tensor[]> => {
  const deadlineMs = systemClock.monotonicMs() + 20_000;
  const onChoice = (choice: unknown): unknown => choices.push(choice);
  return (await model.infer({ inputs: images(wanted), outputs, deadlineMs, priority: 0, onChoice }, signal())).outputs;
};
const textsOf = (value: Tensor | undefined): string[] =>
  (decodeBytes(value?.data ?? new Uint8Array()) ?? []).map((one) => new TextDecoder().decode(one));
const rowsOf = (): number[] => model.graphs.map(({ counts }) => counts.rows);
const runsOf = (): number[] => model.graphs.map(({ counts }) => counts.runs);

describe('examples/cascade', () => {
  it('passes its goldens, of which each side answers some', async () => {
    expect(await model.runGoldens(signal())).toMatchObject({ passed: true, count: 50 });
    const sides = [...model.sides.values()];
    expect(sides).toHaveLength(1);
    expect(sides[0]!.held + sides[0]!.other).toBe(50);
    expect(Math.min(sides[0]!.held, sides[0]!.other)).toBeGreaterThan(5);
  });

  it('runs the large model for the digits of which the small one is unsure, in one run, and for no other', async () => {
    const [smallLabels, smallSure, largeLabels, largeSure] = await ask(digits, [
      ...['small-label', 'small-confidence', 'large-label', 'large-confidence'],
    ]);
    const unsure = [...float32Of(smallSure!)].map((value) => value < BELOW);
    const choices: unknown[] = [];
    const [rows, runs] = [rowsOf(), runsOf()];
    const [labels, sure] = await ask(digits, [], choices);
    const count = unsure.filter(Boolean).length;
    expect(rowsOf().map((all, at) => all - rows[at]!)).toEqual([50, count]);
    expect(runsOf().map((all, at) => all - runs[at]!)).toEqual([1, 1]);
    expect(choices).toEqual([{ step: 'step branch (unsure)', held: count, of: 50 }]);
    const large = textsOf(largeLabels);
    const expected = textsOf(smallLabels).map((label, at) => (unsure[at] ? large[at] : label));
    expect(textsOf(labels)).toEqual(expected);
    for (const [at, value] of float32Of(sure!).entries())
      expect(value).toBeCloseTo(float32Of(unsure[at] ? largeSure! : smallSure!)[at]!, 4);
    expect(expected.filter((label, at) => label === digits[at]!.label).length).toBeGreaterThanOrEqual(48);
  });

  it('shares the runs of either side between requests', async () => {
    const expected = textsOf((await ask(digits))[0]);
    for (let round = 0; round < ROUNDS; round += 1) {
      const runs = runsOf();
      const each = await Promise.all(digits.map((digit) => ask([digit])));
      expect(each.flatMap(([label]) => textsOf(label))).toEqual(expected);
      const [small = 0, large = 0] = runsOf().map((all, at) => all - runs[at]!);
      if (small < digits.length / 2 && large < small + 5) return;
    }
    throw new Error('requests of one side never shared a run');
  });
});
