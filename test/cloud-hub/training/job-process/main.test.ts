// The job's process as the hub starts it: real digits' bodies in real shards, the digits package, the engine, signals and kills.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { CHECKPOINTS_FOLDER, EXIT, RESULT_FILE } from '@tidegate/cloud-hub/training/job-process/job-order.js';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import {
  DIGITS_PACKAGE,
  drawnDigits,
  JobProcess,
  openContent,
  readResult,
  storeDataset,
  writeOrder,
  type LabelledDigit,
  type OrderFields,
} from '../../../support/training-jobs.js';

// The process gives way to whatever else runs, the other tests included.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const folder = temporaryFolders('training-job');
const contentFolder = folder();
let content: ContentStore;
/** 240 to train on, 60 held out. */
let drawn: Digest;
/** 8 updates an epoch. */
const FIVE_EPOCHS = { fromScratch: true, epochs: 5, learningRate: 0.005 };
const STEPS = 40;

beforeAll(async () => {
  content = await openContent(contentFolder);
  drawn = await storeDataset(content, drawnDigits(300));
});

async function job(fields: Partial<OrderFields> = {}): Promise<string> {
  const place = folder();
  await writeOrder(place, { contentFolder, datasets: { 'drawn@1': drawn }, parameters: FIVE_EPOCHS, ...fields });
  return place;
}

/** Runs it to its end, which is `code`. */
async function run(place: string, code: number = EXIT.done): Promise<JobProcess> {
  const process = new JobProcess(place);
  const end = await process.ended;
  expect(end, process.stderr).toEqual({ code, signal: null });
  return process;
}

/** Newest checkpoint of a job's folder; 0 where there is none. */
function savedStep(place: string): number {
  const at = join(place, CHECKPOINTS_FOLDER);
  const names = existsSync(at) ? readdirSync(at) : [];
  return Math.max(0, ...names.map((name) => Number(/^step-(\d+)\.safetensors$/.exec(name)?.[1] ?? 0)));
}

const stepsFrom = (first: number): number[] => Array.from({ length: STEPS - first }, (_, i) => first + 1 + i);

describe("a training job's process", () => {
  let straight: Awaited<ReturnType<typeof readResult>>;
  let first: JobProcess;
  let straightFolder: string;
  beforeAll(async () => {
    straightFolder = await job();
    first = await run(straightFolder);
    straight = await readResult(straightFolder);
  });

  it('trains from random weights and measures parent and result on what is held out', () => {
    const { result } = straight;
    expect(result).toMatchObject({ graph: 'digits.onnx', steps: STEPS });
    expect(result.sets).toHaveLength(1);
    expect(result.sets[0]).toMatchObject({ dataset: 'drawn@1', role: 'held-out', metric: 'accuracy', count: 60 });
    expect(result.sets[0]?.result).toBeGreaterThan(0.95);
    expect(result.sets[0]?.parent).toBeLessThan(0.5); // it knows handwriting, not patches
  });

  it('says how far it is, and gives each update as a point', () => {
    expect(first.pointSteps).toEqual(stepsFrom(0));
    expect(new Set(first.progress.map(({ phase }) => phase))).toEqual(new Set(['preparing', 'training', 'evaluating']));
    const { progress } = first.progress.at(-1)!;
    expect(progress).toMatchObject({ step: STEPS, steps: STEPS, epoch: 5, resumedFromStep: 0, secondsLeft: 0 });
    expect(progress.samplesPerSecond).toBeGreaterThan(0);
    expect(progress.waitShare).toBeLessThanOrEqual(1);
    expect(progress.rssBytes).toBeGreaterThan(10e6);
    expect(progress.metric).toBeGreaterThan(0.5); // of all updates since the message before
  });

  it("changes the parent's weights and nothing else", () => {
    const [parent, result] = [
      decodeModel(readFileSync(join(DIGITS_PACKAGE, 'digits.onnx'))),
      decodeModel(straight.graph),
    ];
    expect(result.graph?.node).toEqual(parent.graph?.node);
    const shapes = (model: typeof parent) => model.graph?.initializer.map(({ name, dims }) => ({ name, dims }));
    expect(shapes(result)).toEqual(shapes(parent));
    expect(result.graph?.initializer).not.toEqual(parent.graph?.initializer);
  });

  it('has nothing left to do where its result is', async () => {
    const again = await run(straightFolder);
    expect(again.messages).toEqual([]);
  });

  it('does not take the result of another job for its own', async () => {
    const place = await job({ parameters: { ...FIVE_EPOCHS, epochs: 1 } });
    await cp(join(straightFolder, RESULT_FILE), join(place, RESULT_FILE));
    await cp(join(straightFolder, CHECKPOINTS_FOLDER), join(place, CHECKPOINTS_FOLDER), { recursive: true });
    const process = await run(place);
    expect((await readResult(place)).result.steps).toBe(8);
    expect(process.log.some(({ msg }) => msg === 'a checkpoint is not used')).toBe(true);
  });

  it.each([1, 17, 33])(
    'goes on bit for bit after kill -9 at update %i, with the remaining updates only',
    async (step) => {
      const place = await job();
      const killed = new JobProcess(place);
      await killed.reached(step);
      killed.child.kill('SIGKILL');
      expect(await killed.ended).toEqual({ code: null, signal: 'SIGKILL' });
      const saved = savedStep(place);
      expect(saved).toBeGreaterThanOrEqual(step - 1);
      const second = await run(place);
      expect(second.pointSteps).toEqual(stepsFrom(saved));
      expect(second.progress.at(-1)?.progress.resumedFromStep).toBe(saved);
      expect(second.log.find(({ msg }) => msg === 'trained')).toMatchObject({
        ownSteps: STEPS - saved,
        resumedFromStep: saved,
      });
      const { graph, result } = await readResult(place);
      expect(Buffer.from(graph).equals(straight.graph)).toBe(true);
      expect(result).toEqual(straight.result);
    },
  );

  it('does not train again when it was killed while it evaluated', async () => {
    const place = await job();
    const killed = new JobProcess(place);
    killed.onMessage = (message) => {
      if (message.kind === 'progress' && message.phase === 'evaluating') killed.child.kill('SIGKILL');
    };
    await killed.ended;
    const second = await run(place);
    expect(second.pointSteps).toEqual([]);
    expect(await readResult(place)).toEqual(straight);
  });

  it.each(['SIGTERM', 'disconnect'] as const)(
    'saves and ends with 75 on %s, though no checkpoint was due',
    async (event) => {
      const place = await job({ checkpointEveryMs: 3_600_000 });
      const stopped = new JobProcess(place);
      await stopped.reached(5);
      if (event === 'SIGTERM') stopped.child.kill('SIGTERM');
      else stopped.child.disconnect();
      expect(await stopped.ended, stopped.stderr).toEqual({ code: EXIT.preempted, signal: null });
      const saved = savedStep(place);
      expect(saved).toBeGreaterThanOrEqual(5);
      expect(saved).toBeLessThan(STEPS);
      const second = await run(place);
      expect(second.pointSteps).toEqual(stepsFrom(saved));
      expect(await readResult(place)).toEqual(straight);
    },
  );
});

describe('what is trained on', () => {
  const oneEach = { batchSize: 1, epochs: 1, learningRate: 1e-5 }; // so an update is a sample

  it('is never a sample that a dataset or a slice holds out, under whatever label', async () => {
    const digits = drawnDigits(60, 2);
    const side = (split: LabelledDigit['split'], some: readonly LabelledDigit[]) =>
      some.map((one) => ({ ...one, split }));
    const all = await storeDataset(content, side('train', digits));
    const test = await storeDataset(content, side('held-out', digits.slice(0, 7)));
    const slice = await storeDataset(content, side('held-out', digits.slice(20, 25)));
    const place = await job({
      datasets: { 'all@1': all, 'test@1': test },
      slices: { 'hard@2': slice },
      parameters: oneEach,
    });
    await run(place);
    const { result } = await readResult(place);
    expect(result.steps).toBe(60 - 7 - 5);
    expect(result.sets.map(({ dataset, role, count }) => ({ dataset, role, count }))).toEqual([
      { dataset: 'test@1', role: 'held-out', count: 7 },
      { dataset: 'hard@2', role: 'slice', count: 5 },
    ]);
  });

  it('may be numbers: mean squared error, of parent and result', async () => {
    const digits = drawnDigits(100, 3).map((digit) => ({
      ...digit,
      label: Array.from({ length: 10 }, (_, i) => (String(i) === digit.label ? 1 : 0)).join(','),
    }));
    const numbers = await storeDataset(content, digits);
    const place = await job({ datasets: { 'numbers@1': numbers }, parameters: { loss: 'mse', epochs: 10 } });
    const process = await run(place);
    const [set] = (await readResult(place)).result.sets;
    expect(set).toMatchObject({ metric: 'mean-squared-error', count: 20 });
    expect(set?.result).toBeLessThan(set?.parent ?? 0);
    expect(process.progress.at(-1)?.progress.metric).toBeUndefined();
  });
});

interface Failed {
  readonly message: string;
  readonly field: string | undefined;
  readonly process: JobProcess;
}

describe('a job that can not be', () => {
  async function fails(fields: Partial<OrderFields>): Promise<Failed> {
    const process = await run(await job(fields), EXIT.failed);
    const { message = '', field } = process.failure ?? {};
    return { message, field, process };
  }

  const untrained = ({ pointSteps, progress }: JobProcess): void => {
    expect(pointSteps).toEqual([]);
    expect(progress.every(({ phase }) => phase === 'preparing')).toBe(true);
  };

  it('names the label that is none of the classes, before it trains', async () => {
    const [odd, ...rest] = drawnDigits(20, 4);
    const wrong = await storeDataset(content, [{ ...odd!, label: '17' }, ...rest]);
    const { message, field, process } = await fails({ datasets: { 'wrong@1': wrong } });
    expect(message).toMatch(/sample sha256:[0-9a-f]{64}: its label 17 is past the model's 10 classes/);
    expect(field).toBe('datasets');
    untrained(process);
  });

  it('names the operator without a gradient and its place, before it trains', async () => {
    const packageFolder = folder();
    const nodes = [
      makeNode('Flatten', ['image'], ['flat']),
      makeNode('Gemm', ['flat', 'w'], ['scores']),
      makeNode('Round', ['scores'], ['logits'], { name: 'last/round' }),
    ];
    const weights = [makeTensor('w', 1, [784, 10], new Uint8Array(4 * 7840))];
    const [image, logits] = [makeValue('image', 1, ['n', 1, 28, 28]), makeValue('logits', 1, ['n', 10])];
    await writeFile(
      join(packageFolder, 'digits.onnx'),
      Buffer.concat(encodeModel(makeModel(makeGraph(nodes, [image], [logits], weights)))),
    );
    const yaml = readFileSync(join(DIGITS_PACKAGE, 'model.yaml'), 'utf8').replace(/^goldens:.*$/m, '');
    await writeFile(join(packageFolder, 'model.yaml'), yaml);
    const { message, field, process } = await fails({ packageFolder });
    expect(message).toContain('last/round (Round, number 2): the operator has no gradient');
    expect(field).toBe('graph');
    untrained(process);
  });

  it('says that it diverges and what to lower', async () => {
    const parameters = { ...FIVE_EPOCHS, epochs: 20, optimizer: 'sgd', learningRate: 10, weightDecay: 1, clipNorm: 0 };
    const { message, field } = await fails({ parameters });
    expect(message).toMatch(/update \d+ .*smaller learning rate/);
    expect(field).toBe('parameters/learningRate');
  });

  it('names the memory that it holds, its limit and what to lower', async () => {
    const { message, field } = await fails({ memoryLimitBytes: 64 * 1024 * 1024 });
    expect(message).toMatch(/holds \d+ MiB and may hold 64 MiB: lower batchSize \(it is 32;/);
    expect(field).toBe('memoryLimitBytes');
  });

  interface Refused {
    readonly what: string;
    readonly parameters?: OrderFields['parameters'];
    /** On which side all samples stand. */
    readonly slice?: LabelledDigit['split'];
    readonly dataset?: LabelledDigit['split'];
    readonly field: string;
    readonly words: RegExp;
  }
  const REFUSED: readonly Refused[] = [
    {
      what: 'a pattern that matches nothing',
      parameters: { freeze: ['nothing*'] },
      field: 'parameters/freeze',
      words: /nothing\* names no parameter/,
    },
    { what: 'a slice of training samples', slice: 'train', field: 'slices', words: /hard@1 has no held-out side/ },
    { what: 'nothing to train on', dataset: 'held-out', field: 'datasets', words: /no sample of the datasets/ },
    {
      what: 'labels of another width',
      parameters: { loss: 'mse' },
      field: 'datasets',
      words: /labels hold 1 numbers, the graph answers 10/,
    },
  ];
  it.each(REFUSED)('refuses $what, before it trains', async ({ parameters, slice, dataset, field, words }) => {
    const onSide = (split: LabelledDigit['split']): Promise<Digest> =>
      storeDataset(
        content,
        drawnDigits(20, 5).map((digit) => ({ ...digit, split })),
      );
    const failed = await fails({
      ...(parameters === undefined ? {} : { parameters }),
      ...(slice === undefined ? {} : { slices: { 'hard@1': await onSide(slice) } }),
      ...(dataset === undefined ? {} : { datasets: { 'drawn@2': await onSide(dataset) } }),
    });
    expect(failed.message).toMatch(words);
    expect(failed.field).toBe(field);
    untrained(failed.process);
  });
});
