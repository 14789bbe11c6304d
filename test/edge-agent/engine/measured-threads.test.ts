import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serveWithBestThreads } from '@tidegate/edge-agent/engine/measured-threads.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import type { NamedTensor, TensorSpec } from '@tidegate/shared/tensor/tensor.js';
import { assemble } from '../../../examples/ocr-line/assemble.mjs';
import { examplesFolder } from '../../support/agent-process.js';
import { ManualClock } from '../../support/manual-clock.js';

const CORES = { cores: 4, defaultDeadlineMs: 30_000 };
const PICTURE: TensorSpec = { name: 'x', datatype: 'FP32', shape: [-1, 3, 8, 8] };
let bare: ModelPackage;
let withGoldens: ModelPackage;
let folder: string;

beforeAll(async () => {
  folder = await assemble(await mkdtemp(join(tmpdir(), 'tidegate-threads-')));
  const modules = { inspect: inspectGraphFile };
  bare = await openPackage(`${examplesFolder}bare/scale-and-add.onnx`, modules, { name: 'bare' });
  withGoldens = await openPackage(folder, modules, { name: 'ocr-line' });
});

afterAll(() => rm(folder, { recursive: true }));

/** Models whose runs take so long by their number of threads; `log` hears of what is loaded, closed and run. */
function fakeServe(
  runMs: Readonly<Record<number, number>>,
  part: Partial<{ loadMs: number; input: TensorSpec; runs: string }> = {},
) {
  const clock = new ManualClock();
  const log: string[] = [];
  const fed: (readonly NamedTensor[])[] = [];
  const { loadMs = 100, input = PICTURE, runs = 'cpu' } = part;
  const serve = async (threads: number): Promise<ServedModel> => {
    log.push(`load ${threads}`);
    let first = true;
    const model = {
      loadMs,
      provider: { runs },
      metadata: { inputs: [input] },
      trial: async (inputs: readonly NamedTensor[]) => {
        fed.push(inputs);
        const tookMs = (runMs[threads] ?? 0) * (first ? 3 : 1); // the first run pays for allocation
        first = false;
        clock.advance(tookMs);
        return { computeUs: 1000 * tookMs };
      },
      close: async () => void log.push(`close ${threads}`),
    };
    return model as unknown as ServedModel;
  };
  return { clock, log, fed, serve };
}

const live = (): AbortSignal => new AbortController().signal;

describe('a model whose threads are measured', () => {
  it('is in memory once at a time, and stays with what suits it', async () => {
    const { clock, log, fed, serve } = fakeServe({ 1: 100, 2: 52, 4: 30 });
    const { choice } = await serveWithBestThreads(bare, serve, CORES, clock, live());
    expect(log).toEqual(['load 1', 'close 1', 'load 2', 'close 2', 'load 4']);
    expect(choice).toMatchObject({ threads: 4, measured: [1, 2, 4].map((threads) => ({ threads })) });
    expect(choice.measured.map(({ runMs }) => runMs)).toEqual([100, 52, 30]);
    expect(fed[0]?.[0]?.shape).toEqual([1, 3, 8, 8]);
    expect(fed.length).toBeLessThanOrEqual(24);
  });

  it('is loaded with one thread again where more did not pay', async () => {
    const { clock, log, serve } = fakeServe({ 1: 100, 2: 90, 4: 80 });
    expect((await serveWithBestThreads(bare, serve, CORES, clock, live())).choice.threads).toBe(1);
    expect(log.slice(-2)).toEqual(['close 4', 'load 1']);
  });

  it('takes a bounded time for long runs', async () => {
    const { clock, fed, serve } = fakeServe({ 1: 4000, 2: 3900, 4: 3900 });
    await serveWithBestThreads(bare, serve, CORES, clock, live());
    expect(fed).toHaveLength(6); // each number of threads is run twice, and once a second is over no more
  });

  it('is loaded once where its runs are short, or loading takes long', async () => {
    const short = fakeServe({ 1: 0.3 });
    expect((await serveWithBestThreads(bare, short.serve, CORES, short.clock, live())).choice.threads).toBe(1);
    expect(short.log).toEqual(['load 1']);
    const slow = fakeServe({ 1: 100, 2: 51, 4: 26 }, { loadMs: 12_000 });
    const { choice } = await serveWithBestThreads(bare, slow.serve, CORES, slow.clock, live());
    expect(choice.reason).toBe('loading it takes 12 s: not loaded again to measure more');
    expect(slow.log).toEqual(['load 1']);
  });

  it('is fed a golden where its package has one', async () => {
    const { clock, fed, serve } = fakeServe({ 1: 1 });
    await serveWithBestThreads(withGoldens, serve, CORES, clock, live());
    expect(fed[0]?.[0]?.datatype).toBe('BYTES');
  });

  it('has one thread, and says why, where it can not be measured', async () => {
    const open = fakeServe({ 1: 100 }, { input: { ...PICTURE, shape: [1, 3, -1, -1] } });
    const gpu = fakeServe({ 1: 100 }, { runs: 'cuda' });
    const chosen = [open, gpu].map(({ serve, clock }) => serveWithBestThreads(bare, serve, CORES, clock, live()));
    const reasons = (await Promise.all(chosen)).map(({ choice }) => choice.reason);
    expect(reasons).toEqual([
      'not measured: it has no goldens, and its inputs leave open how large they are',
      "not measured: its runs are the GPU's",
    ]);
    expect([open.fed, gpu.fed]).toEqual([[], []]);
  });

  it('is not left loaded where a run fails', async () => {
    const { clock, log, serve } = fakeServe({ 1: 100 });
    const failing = async (threads: number): Promise<ServedModel> =>
      Object.assign(await serve(threads), { trial: () => Promise.reject(new Error('no')) });
    await expect(serveWithBestThreads(bare, failing, CORES, clock, live())).rejects.toThrow('no');
    expect(log).toEqual(['load 1', 'close 1']);
  });
});
