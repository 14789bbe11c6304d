// Guarantee: an executor that several models share may be killed at any moment, and no request of any of them is lost (B20).
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { TrustLedger } from '@tidegate/shared/runtime/trust-ledger.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';
import { writeBarePackage } from '../support/bare-package.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const newFolder = temporaryFolders('shared-executor-kill');
const NAMES = ['a', 'b', 'c'];
/** Once all of them, then one that went alone since; apart, so that no request meets both: it is tried again once. */
const KILLS: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGSEGV'];

let runtime: ExecutorRuntime;
let models: ServedModel[];

beforeAll(async () => {
  const trust = new TrustLedger({ clock: systemClock, log: silentLog });
  runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, cores: 2, trust });
  models = await Promise.all(
    NAMES.map(async (name) => {
      const digest = `sha256:${name.repeat(64)}`;
      const identity = { name, version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
      const options = {
        providers: ['cpu'],
        intraOpThreads: 1,
        queueDepthMax: 64,
        heavy: false,
        keepCompiled: true,
      } as const;
      trust.of(`${digest} m.onnx`).proven = true;
      const modules = { runtime, inspect: inspectGraphFile, clock: systemClock };
      const path = writeBarePackage(join(newFolder(), name), name);
      return openServedModel(path, identity, options, modules, new AbortController().signal);
    }),
  );
});

afterAll(() => runtime.close());

it('loses no request of any model', async () => {
  const pids = (): number[] => models.flatMap((model) => model.pids);
  expect(new Set(pids()).size).toBe(1);
  expect(models.map((model) => model.memoryShareOf(pids()[0]!)).reduce((sum, share) => sum + share)).toBeCloseTo(1);
  let asked = 0;
  const ask = async (model: ServedModel): Promise<void> => {
    const value = (asked += 1);
    const inputs = [tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(value, 0, 0, 0)))];
    const request = { inputs, outputs: [], deadlineMs: systemClock.monotonicMs() + 20_000, priority: 0 };
    const { outputs } = await model.infer(request, new AbortController().signal);
    expect([...float32Of(outputs[0]!)]).toEqual([value + 0.5, 0.5, 0.5, 0.5]);
  };
  const callers = { stop: false };
  const asking = models.flatMap((model) =>
    [1, 2, 3].map(async () => {
      while (!callers.stop) await ask(model);
    }),
  );
  for (const signal of KILLS) {
    const [before] = pids();
    process.kill(before!, signal);
    await expect
      .poll(() => pids().length === 3 && !pids().includes(before!), { timeout: 10_000, interval: 10 })
      .toBe(true);
    const reached = asked + 50;
    await expect.poll(() => asked > reached, { timeout: 10_000, interval: 10 }).toBe(true);
  }
  callers.stop = true;
  await Promise.all(asking);
  expect(models.map(({ quarantine }) => quarantine)).toEqual([undefined, undefined, undefined]);
});
