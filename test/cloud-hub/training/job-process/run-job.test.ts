// A job inside this process: what the file system, an earlier start or the package bring along. Signals and kills: main.test.ts.
import { readdirSync } from 'node:fs';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CHECKPOINTS_FOLDER,
  RESULT_FILE,
  RESULT_GRAPH_FILE,
} from '@tidegate/cloud-hub/training/job-process/job-order.js';
import type { JobMessage } from '@tidegate/cloud-hub/training/job-process/job-order.js';
import { runJob } from '@tidegate/cloud-hub/training/job-process/run-job.js';
import { makeValue } from '@tidegate/shared/onnx/make-node.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import { rawBytesOf } from '@tidegate/shared/onnx/tensor-data.js';
import type { Engine } from '@tidegate/shared/runtime/engine.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles, type Files } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { failingFiles } from '../../../support/failing-files.js';
import { temporaryFolders } from '../../../support/temporary-folder.js';
import {
  DIGITS_PACKAGE,
  drawnDigits,
  openContent,
  readResult,
  storeDataset,
  writeOrder,
  type OrderFields,
} from '../../../support/training-jobs.js';

const never = new AbortController().signal;
const folder = temporaryFolders('run-job');
const contentFolder = folder();
let engine: Engine;
let drawn: Digest;
beforeAll(async () => {
  engine = createCapiEngine();
  drawn = await storeDataset(await openContent(contentFolder), drawnDigits(100));
});
afterAll(() => engine.close());

async function order(fields: Partial<OrderFields> = {}): Promise<string> {
  const place = folder();
  const parameters = { fromScratch: true, epochs: 2, batchSize: 10 };
  await writeOrder(place, { contentFolder, datasets: { 'drawn@1': drawn }, parameters, ...fields });
  return place;
}

async function run(place: string, files: Files = systemFiles, stop: AbortSignal = never) {
  const messages: JobMessage[] = [];
  const send = (message: JobMessage): void => void messages.push(message);
  const modules = { engine, hubVersion: '1', files, clock: systemClock, log: silentLog, rssBytes: () => 1, send };
  const outcome = await runJob(place, modules, stop);
  const steps = messages.flatMap((message) => (message.kind === 'point' ? [message.point.step] : []));
  return { outcome, messages, steps };
}

const weightsOf = (bytes: Uint8Array): Map<string, string> =>
  new Map(
    (decodeModel(bytes).graph?.initializer ?? []).map((tensor) => [
      tensor.name ?? '',
      Buffer.from(rawBytesOf(tensor, '')).toString('base64'),
    ]),
  );

/** The model with all weights in `weights.bin` behind a few bytes of something else. */
function externalized(model: ModelProto): { readonly model: ModelProto; readonly data: Buffer } {
  const parts = [Buffer.from('something else')];
  const initializer = (model.graph?.initializer ?? []).map((tensor) => {
    const bytes = Buffer.from(rawBytesOf(tensor, ''));
    const offset = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    parts.push(bytes);
    const entries = { location: 'weights.bin', offset: String(offset), length: String(bytes.byteLength) };
    const { rawData: _, ...rest } = tensor;
    const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
    return { ...rest, externalData, dataLocation: 1 };
  });
  const graph = { ...model.graph!, initializer };
  return { model: { ...model, graph }, data: Buffer.concat(parts) };
}

describe('a job', () => {
  it('goes on after a checkpoint that could not be written, from the one before', async () => {
    const straight = await order();
    await run(straight);
    const place = await order();
    const files = failingFiles();
    const writeAtomic: Files['writeAtomic'] = async (tag, path, ...rest) => {
      if (path.endsWith('step-5.safetensors')) files.failNext(tag, 'EIO');
      return files.writeAtomic(tag, path, ...rest);
    };
    await expect(run(place, { ...files, writeAtomic })).rejects.toThrow(/EIO/);
    expect(readdirSync(join(place, CHECKPOINTS_FOLDER))).toEqual(['step-3.safetensors', 'step-4.safetensors']);
    const second = await run(place);
    expect(second.steps[0]).toBe(5);
    expect(await readResult(place)).toEqual(await readResult(straight));
  });

  it('goes on without a checkpoint for which there is no space', async () => {
    const straight = await order();
    await run(straight);
    const place = await order();
    const files = failingFiles();
    let saved: string[] = [];
    const writeAtomic: Files['writeAtomic'] = async (tag, path, ...rest) => {
      if (/step-[5-7]\.safetensors$/.test(path)) files.failNext(tag, 'ENOSPC');
      if (path.endsWith(RESULT_FILE)) saved = readdirSync(join(place, CHECKPOINTS_FOLDER));
      return files.writeAtomic(tag, path, ...rest);
    };
    const whole = await run(place, { ...files, writeAtomic });
    expect(whole.outcome).toBe('done');
    expect(whole.steps[0]).toBe(1);
    expect(saved.some((name) => /step-[5-7]\./.test(name))).toBe(false);
    expect(await readResult(place)).toEqual(await readResult(straight));
  });

  it('passes over a checkpoint that was cut off, and removes what a killed process was writing', async () => {
    const place = await order();
    const stop = new AbortController();
    const files = failingFiles();
    const writeAtomic: Files['writeAtomic'] = async (tag, path, ...rest) => {
      if (path.endsWith('step-7.safetensors')) stop.abort();
      return files.writeAtomic(tag, path, ...rest);
    };
    expect((await run(place, { ...files, writeAtomic }, stop.signal)).outcome).toBe('preempted');
    const newest = join(place, CHECKPOINTS_FOLDER, 'step-7.safetensors');
    const whole = await readFile(newest);
    await writeFile(newest, whole.subarray(0, whole.byteLength - 100));
    await writeFile(`${newest}.1.abc.tmp`, whole.subarray(0, 50));
    await writeFile(join(place, `${RESULT_GRAPH_FILE}.1.abc.tmp`), 'half');
    const second = await run(place);
    expect(second.steps[0]).toBe(7);
    expect(readdirSync(place).sort()).toEqual([CHECKPOINTS_FOLDER, 'order.json', RESULT_FILE, RESULT_GRAPH_FILE]);
    expect(readdirSync(join(place, CHECKPOINTS_FOLDER)).some((name) => name.endsWith('.tmp'))).toBe(false);
  });

  it('writes the result last: where it fails, the next start makes the same one without training', async () => {
    const place = await order();
    const files = failingFiles();
    files.failNext('job.result-graph', 'EIO');
    await expect(run(place, files)).rejects.toThrow(/EIO/);
    const failing = failingFiles();
    const writeAtomic: Files['writeAtomic'] = async (tag, path, ...rest) => {
      if (path.endsWith(RESULT_FILE)) failing.failNext(tag, 'EIO');
      return failing.writeAtomic(tag, path, ...rest);
    };
    await expect(run(place, { ...failing, writeAtomic })).rejects.toThrow(/EIO/);
    expect(readdirSync(place)).not.toContain(RESULT_FILE);
    const third = await run(place);
    expect(third).toMatchObject({ outcome: 'done', steps: [] });
    expect((await run(place)).messages).toEqual([]);
  });

  it.each([
    ['torn', async (place: string) => writeFile(join(place, RESULT_FILE), '{"graph":"m.o')],
    ['without its graph', async (place: string) => rm(join(place, RESULT_GRAPH_FILE))],
  ])('makes a result that is %s anew', async (_what, damage) => {
    const place = await order();
    await run(place);
    const whole = await readResult(place);
    await damage(place);
    expect((await run(place)).outcome).toBe('done');
    expect(await readResult(place)).toEqual(whole);
  });

  it('is preempted before it begins where it is told so', async () => {
    const place = await order();
    const stop = new AbortController();
    stop.abort();
    expect((await run(place, systemFiles, stop.signal)).outcome).toBe('preempted');
    expect(readdirSync(place)).not.toContain(RESULT_FILE);
  });

  it('takes weights from external files, and makes one file of them', async () => {
    const packageFolder = folder();
    await cp(DIGITS_PACKAGE, packageFolder, { recursive: true });
    const { model, data } = externalized(decodeModel(await readFile(join(packageFolder, 'digits.onnx'))));
    await writeFile(join(packageFolder, 'digits.onnx'), Buffer.concat(encodeModel(model)));
    await writeFile(join(packageFolder, 'weights.bin'), data);
    const parameters = { epochs: 1, seed: 3 };
    const [inside, outside] = [await order({ parameters }), await order({ parameters, packageFolder })];
    await run(inside);
    await run(outside);
    const [a, b] = [await readResult(inside), await readResult(outside)];
    expect(weightsOf(b.graph)).toEqual(weightsOf(a.graph));
    expect(b.result.sets).toEqual(a.result.sets);
  });

  it('leaves frozen weights as they were, to the bit, and trains the others', async () => {
    const place = await order({ parameters: { epochs: 1, batchSize: 8, accumulate: 3, freeze: ['conv*', 'fc1.*'] } });
    const { steps } = await run(place);
    expect(steps).toEqual([1, 2, 3, 4]);
    const before = weightsOf(await readFile(join(DIGITS_PACKAGE, 'digits.onnx')));
    const after = weightsOf((await readResult(place)).graph);
    const changed = [...after].filter(([name, bytes]) => before.get(name) !== bytes).map(([name]) => name);
    expect(changed.sort()).toEqual(['fc2.bias', 'fc2.weight']);
  });

  it('refuses a graph that takes batches of one size only', async () => {
    const packageFolder = folder();
    await cp(DIGITS_PACKAGE, packageFolder, { recursive: true });
    const model = decodeModel(await readFile(join(packageFolder, 'digits.onnx')));
    const input = [makeValue('image', 1, [4, 1, 28, 28])];
    const fixed = { ...model, graph: { ...model.graph!, input } };
    await writeFile(join(packageFolder, 'digits.onnx'), Buffer.concat(encodeModel(fixed)));
    await expect(run(await order({ packageFolder }))).rejects.toMatchObject({ code: 'fixed-batch', field: 'graph' });
  });
});
