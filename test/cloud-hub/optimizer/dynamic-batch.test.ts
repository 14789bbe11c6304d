// Dynamic quantization scales by the whole tensor, so rows of one run are not independent: the demo once answered 21 of 240
// digits otherwise than alone. What is served of it must not be batched, and answer under load exactly as in peace.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { int8Dynamic } from '@tidegate/cloud-hub/optimizer/int8-dynamic.js';
import { decodeModel, encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { float32Of } from '@tidegate/shared/tensor/tensor.js';
import { digitInput } from '../../support/digit-inputs.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const digits = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
const newFolder = temporaryFolders('dynamic-batch');
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
afterAll(() => runtime.close());

async function quantizedDigits(): Promise<ServedModel> {
  const folder = newFolder();
  await cp(digits, folder, { recursive: true });
  const made = int8Dynamic.apply(decodeModel(await readFile(join(digits, 'digits.onnx'))));
  if (made.outcome !== 'changed') throw new Error(made.reason);
  await writeFile(join(folder, 'digits.onnx'), Buffer.concat(encodeModel(made.model)));
  const digest = `sha256:${'0'.repeat(64)}`;
  const identity = {
    name: 'digits',
    version: '1',
    versionDigest: digest,
    variant: 'int8-dynamic',
    variantDigest: digest,
  };
  const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 256, heavy: false } as const;
  const modules = { runtime, inspect: inspectGraphFile, clock: systemClock };
  return openServedModel(folder, identity, options, modules, new AbortController().signal);
}

describe('a dynamically quantized model under load', () => {
  it('answers each of 96 inputs, 16 in flight, exactly as alone', async () => {
    const model = await quantizedDigits();
    const ask = async (seed: number): Promise<number[]> => {
      const deadlineMs = systemClock.monotonicMs() + 20_000;
      const request = { inputs: digitInput(seed), outputs: ['logits'], deadlineMs, priority: 0 };
      const { outputs } = await model.infer(request, new AbortController().signal);
      return [...float32Of(outputs[0]!)];
    };
    const alone: number[][] = [];
    for (let seed = 0; seed < 96; seed += 1) alone.push(await ask(seed));
    const together: number[][] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let seed = next++; seed < 96; seed = next++) together[seed] = await ask(seed);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    expect(together).toEqual(alone);
    await model.close();
  });
});
