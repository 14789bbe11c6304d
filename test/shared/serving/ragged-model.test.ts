// Texts of many lengths through a real executor: the answers of a run that was padded are those of each text alone.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { encodeBytes, decodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { writeTextPackage } from '../../support/text-package.js';

const digest = `sha256:${'0'.repeat(64)}`;
const identity = { name: 'topics', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 256, heavy: false } as const;
const abort = (): AbortSignal => new AbortController().signal;
const WORDS = ['the', 'tide', 'turns', 'a', 'device', 'can', 'lets', 'water', 'over', 'lazy', 'dog'];

const temporaryFolder = temporaryFolders('ragged-model');
let runtime: ExecutorRuntime;
const warnings: unknown[] = [];

async function open(parameters: Parameters<typeof writeTextPackage>[1] = {}): Promise<ServedModel> {
  const log: Log = { ...silentLog, warn: (fields: unknown) => void warnings.push(fields) };
  const modules = { runtime, inspect: inspectGraphFile, clock: systemClock, log };
  return openServedModel(writeTextPackage(temporaryFolder(), parameters), identity, options, modules, abort());
}
const texts = (...given: string[]): NamedTensor =>
  tensor('text', 'BYTES', [given.length], encodeBytes(given.map((text) => Buffer.from(text))));
const ask = async (model: ServedModel, text: string, outputs: string[]): Promise<readonly NamedTensor[]> => {
  const deadlineMs = systemClock.monotonicMs() + 20_000;
  return (await model.infer({ inputs: [texts(text)], outputs, deadlineMs, priority: 0 }, abort())).outputs;
};
/** Sentences of 5 to 60 tokens or so. */
const sentences = (count: number): string[] =>
  Array.from({ length: count }, (_, at) =>
    Array.from({ length: 2 + ((at * 17) % 28) }, (_unused, word) => WORDS[(at + word * word) % WORDS.length]).join(' '),
  );
/** Asks all at once, a few times over: the first rounds measure and try. */
async function together(
  model: ServedModel,
  all: readonly string[],
  outputs: string[],
): Promise<(readonly NamedTensor[])[]> {
  let answers: (readonly NamedTensor[])[] = [];
  for (let round = 0; round < 4; round += 1) answers = await Promise.all(all.map((text) => ask(model, text, outputs)));
  return answers;
}
const largest = (a: readonly NamedTensor[], b: readonly NamedTensor[]): number =>
  Math.max(
    ...a.map((one, at) => {
      const [x, y] = [float32Of(one), float32Of(b[at]!)];
      expect(b[at]!.shape).toEqual(one.shape);
      return x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0);
    }),
  );

beforeAll(() => {
  runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
});
afterAll(() => runtime.close());

describe('a model whose requests may be padded', () => {
  it('answers each as if it had been alone, from runs of several lengths', async () => {
    const model = await open();
    const all = sentences(32);
    const alone: (readonly NamedTensor[])[] = [];
    for (const text of all) alone.push(await ask(model, text, ['logits', 'tokens']));
    expect(model.counts.padded).toBe(0);
    const answers = await together(model, all, ['logits', 'tokens']);
    expect(Math.max(...answers.map((answer, at) => largest(alone[at]!, answer)))).toBeLessThan(0.001);
    expect(new Set(alone.map((answer) => answer[1]?.shape[1])).size).toBeGreaterThan(10);
    expect(model.counts.padded).toBeGreaterThan(0);
    expect(model.counts.rows).toBeGreaterThan(model.counts.runs);
    expect(model.graphs[0]?.padding).toEqual({ state: 'proven' });
    expect(await model.provePadding(abort())).toBeUndefined();
    await model.close();
  });

  it('stops padding where that changes an answer, says why, and has given each its own', async () => {
    const model = await open({ masked: false });
    const all = sentences(32);
    const alone: (readonly NamedTensor[])[] = [];
    for (const text of all) alone.push(await ask(model, text, ['logits']));
    const answers = await together(model, all, ['logits']);
    expect(Math.max(...answers.map((answer, at) => largest(alone[at]!, answer)))).toBeLessThan(0.001);
    const reason = expect.stringMatching(
      /^of a request of length \d+ that was padded, output 'logits' differs by 0\.\d+ \(0\.001 is allowed\)$/,
    );
    expect(model.graphs[0]?.padding).toEqual({ state: 'off', reason });
    expect(warnings).toContainEqual({ model: 'topics', graph: 'text.onnx', reason });
    expect(model.counts.padded).toBe(1); // the trial
    await model.close();
  });

  it('is refused at publish where padding changes an answer', async () => {
    const wrong = await open({ masked: false });
    expect(await wrong.provePadding(abort())).toEqual({
      field: 'pipeline.1.ragged',
      reason: expect.stringMatching(
        /^padding changes the answer: of a golden of length \d+ padded to \d+, output '(logits|tokens)' differs by/,
      ),
    });
    await wrong.close();
  });

  it('tells what a sentence is about, several at a time, and passes its goldens', async () => {
    const model = await open();
    const deadlineMs = systemClock.monotonicMs() + 20_000;
    const inputs = [texts('the tide turns', 'a device', 'over the lazy dog')];
    const { outputs, confidence } = await model.infer({ inputs, outputs: [], deadlineMs, priority: 0 }, abort());
    expect(decodeBytes(outputs[0]!.data)?.map((label) => Buffer.from(label).toString())).toEqual([
      'water',
      'machine',
      'animal',
    ]);
    expect(confidence).toBeGreaterThan(0.4);
    expect(await model.runGoldens(abort())).toMatchObject({ passed: true, count: 3 });
    await model.close();
  });
});
