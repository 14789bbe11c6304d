// A model as agent and hub serve it: the digits package through real executors.
import { appendFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ProviderReport } from '@tidegate/shared/runtime/engine.js';
import type { GraphRunner, LoadGraphOptions } from '@tidegate/shared/runtime/graph-runner.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { digitInput } from '../../support/digit-inputs.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { writeTwoStagePackage } from '../../support/two-stage-package.js';

const digits = fileURLToPath(new URL('../../../examples/digits', import.meta.url));
const digest = `sha256:${'0'.repeat(64)}`;
const identity = { name: 'digits', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 16, heavy: false } as const;
const signal = (): AbortSignal => new AbortController().signal;

const temporaryFolder = temporaryFolders('served-model');
let runtime: ExecutorRuntime;
let model: ServedModel;

const open = (path: string): Promise<ServedModel> =>
  openServedModel(path, identity, options, { runtime, inspect: inspectGraphFile, clock: systemClock }, signal());
const ask = (inputs: readonly NamedTensor[], outputs: string[] = [], timeoutMs = 20_000, abort = signal()) =>
  model.infer({ inputs, outputs, deadlineMs: systemClock.monotonicMs() + timeoutMs, priority: 0 }, abort);
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'answered',
    (error: { code?: string }) => error.code,
  );

beforeAll(async () => {
  runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  model = await open(digits);
});

afterAll(async () => {
  await runtime.close();
});

describe('ServedModel', () => {
  it('answers from the input to the label, with confidence and times', async () => {
    const answer = await ask(digitInput(1));
    expect(answer.outputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['label', [1]],
      ['confidence', [1]],
      ['logits', [1, 10]],
    ]);
    expect(answer.confidence).toBeGreaterThan(0);
    expect(answer.computeUs).toBeGreaterThan(0);
    expect(model.metadata).toMatchObject({ name: 'digits', versions: ['1'], platform: 'tidegate_package' });
    expect(model.deterministic).toBe(true);
  });

  it('answers only what is asked for', async () => {
    const answer = await ask(digitInput(1), ['logits']);
    expect(answer.outputs.map(({ name }) => name)).toEqual(['logits']);
  });

  it("passes its package's goldens", async () => {
    const outcome = await model.runGoldens(signal());
    expect(outcome).toMatchObject({ passed: true });
    expect(outcome.count).toBeGreaterThan(0);
  });

  it('that requires a GPU is held to it each time that it is loaded, where that is wanted (B18)', async () => {
    const folder = temporaryFolder();
    await cp(digits, folder, { recursive: true });
    await appendFile(join(folder, 'model.yaml'), '\nrequire: gpu\n');
    const onCpu: ProviderReport = { asked: ['cpu'], tried: [], runs: 'cpu', reason: 'asked for' };
    const onGpu: ProviderReport = { asked: ['webgpu'], tried: [], runs: 'webgpu', reason: 'asked for', cpuNodes: 0 };
    let accept: LoadGraphOptions['accept'];
    const load = async (given: LoadGraphOptions, inner: AbortSignal): Promise<GraphRunner> => {
      accept = given.accept;
      return Object.defineProperty(await runtime.load(given, inner), 'provider', { get: () => onGpu });
    };
    const judged = { load, close: () => Promise.resolve() };
    const modules = { runtime: judged, inspect: inspectGraphFile, clock: systemClock };
    const held = await openServedModel(folder, identity, { ...options, required: true }, modules, signal());
    expect(() => accept?.(onGpu)).not.toThrow();
    expect(() => accept?.(onCpu)).toThrow('the package says `require: gpu`, but the CPU runs it');
    await held.close();
    const free = await openServedModel(folder, identity, options, modules, signal());
    expect(() => accept?.(onCpu)).not.toThrow();
    await free.close();
    const real = { ...modules, runtime };
    const refused = openServedModel(folder, identity, { ...options, required: true }, real, signal());
    await expect(refused).rejects.toMatchObject({ code: 'not-ready' });
    const forAll = openServedModel(digits, identity, { ...options, required: true, requireGpu: true }, real, signal());
    await expect(forAll).rejects.toThrow(/--require-gpu is on, but the CPU runs it: asked for; name a provider/);
  });

  it('says which graph it loads, and how many of them are loaded (B19)', async () => {
    const said: unknown[] = [];
    const onLoading = (share: number, doing: string): void => void said.push([share, doing]);
    const modules = { runtime, inspect: inspectGraphFile, clock: systemClock, onLoading };
    const path = writeTwoStagePackage(temporaryFolder(), 'two');
    await (await openServedModel(path, identity, options, modules, signal())).close();
    expect(said).toEqual([
      [0, 'loading front.onnx, 1 of 2 graphs'],
      [0.5, 'loading back.onnx, 2 of 2 graphs'],
    ]);
  });

  it("holds callers to its package's limits, and self-tests to none", async () => {
    const folder = temporaryFolder();
    await cp(digits, folder, { recursive: true });
    const limits = '\nlimits: { concurrency: 1, requestsPerSecond: 0.01 }\n';
    await appendFile(join(folder, 'model.yaml'), limits);
    const modules = { runtime, inspect: inspectGraphFile, clock: systemClock };
    const limited = await openServedModel(folder, identity, { ...options, limited: true }, modules, signal());
    try {
      expect(limited.graphs.map(({ concurrency }) => concurrency)).toEqual([1]);
      expect(await limited.runGoldens(signal())).toMatchObject({ passed: true });
      const request = {
        inputs: digitInput(1),
        outputs: [],
        deadlineMs: systemClock.monotonicMs() + 20_000,
        priority: 0,
      };
      await limited.infer(request, signal());
      await limited.infer({ ...request, goesOn: true }, signal()); // a second part counts for none
      await expect(limited.infer(request, signal())).rejects.toMatchObject({
        code: 'rate-limited',
        retryAfterMs: expect.closeTo(100_000, -4) as number,
      });
    } finally {
      await limited.close();
    }
  });

  it('refuses wrong names, types and shapes, naming the input', async () => {
    const [image] = digitInput(1) as [NamedTensor];
    for (const wrong of [
      { ...image, name: 'picture' },
      { ...image, datatype: 'FP64' as const },
      { ...image, shape: [1, 784] },
    ]) {
      const error: unknown = await ask([wrong]).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'invalid-argument', field: wrong.name });
    }
    expect(await codeOf(ask(digitInput(1)))).toBe('answered');
  });

  it('holds deadlines and signals', async () => {
    expect(await codeOf(ask(digitInput(1, 2000), [], 1))).toMatch(/deadline/);
    const leaves = new AbortController();
    const asked = codeOf(ask(digitInput(1, 2000), [], 20_000, leaves.signal));
    leaves.abort();
    expect(await asked).toBe('cancelled');
    expect(await codeOf(ask(digitInput(1), [], 20_000, AbortSignal.abort()))).toBe('cancelled');
  });

  it('holds them also where a graph is all there is', async () => {
    const slow = await open(fileURLToPath(new URL('../../fixtures/onnx/slow.onnx', import.meta.url)));
    const inputs = [
      tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(1_000_000n))),
      tensor('tag', 'FP32', [1], bytesOf(Float32Array.of(1))),
    ];
    const until = (timeoutMs: number, abort: AbortSignal): Promise<unknown> => {
      const deadlineMs = systemClock.monotonicMs() + timeoutMs;
      return codeOf(slow.infer({ inputs, outputs: [], deadlineMs, priority: 0 }, abort));
    };
    expect(await until(50, signal())).toBe('deadline-exceeded');
    const leaves = new AbortController();
    const asked = until(20_000, leaves.signal);
    leaves.abort();
    expect(await asked).toBe('cancelled');
    expect(await until(20_000, AbortSignal.abort())).toBe('cancelled');
    await slow.close();
  });

  it('bounds what is under way', async () => {
    const codes = await Promise.all(Array.from({ length: 200 }, (_, i) => codeOf(ask(digitInput(i)))));
    expect(codes.filter((code) => code === 'answered').length).toBeGreaterThanOrEqual(16);
    expect(new Set(codes)).toEqual(new Set(['answered', 'queue-full']));
  });

  it('closes after its requests have ended, and takes no new ones', async () => {
    const other = await open(digits);
    const pid = other.graphs[0]?.pid;
    const request = { inputs: digitInput(1, 1000), outputs: [], priority: 0 };
    const asked = other.infer({ ...request, deadlineMs: systemClock.monotonicMs() + 20_000 }, signal());
    const closing = other.close();
    expect(await codeOf(other.infer({ ...request, deadlineMs: systemClock.monotonicMs() + 20_000 }, signal()))).toBe(
      'not-ready',
    );
    expect((await asked).outputs[0]?.shape).toEqual([1000]);
    await closing;
    expect(() => process.kill(pid ?? 0, 0)).toThrow();
  });

  it('leaves nothing behind where it can not be loaded', async () => {
    await expect(open('/nowhere')).rejects.toMatchObject({ code: 'not-found' });
  });
});
