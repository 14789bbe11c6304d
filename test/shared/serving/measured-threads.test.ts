import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import type { ThreadsChoice } from '@tidegate/shared/serving/choose-threads.js';
import { BestThreads, type KeptThreads } from '@tidegate/shared/serving/measured-threads.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { silentLog } from '@tidegate/shared/system/log.js';
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
const IDENTITY = {
  name: 'm',
  version: '1',
  versionDigest: sha256('m'),
  variant: 'fp32',
  variantDigest: sha256('m'),
};

type Fake = Pick<ReturnType<typeof fakeServe>, 'serve' | 'clock'>;

/** `busy`: the share of the machine that other work takes. */
function choose(pack: ModelPackage, { serve, clock }: Fake, part: { kept?: KeptThreads; busy?: number } = {}) {
  const modules = { clock, log: silentLog, kept: part.kept, busyShare: () => Promise.resolve(part.busy ?? 0) };
  return new BestThreads(CORES, modules).serve(pack, IDENTITY, serve, live());
}

function keptInMemory(): KeptThreads & { readonly choices: Map<string, ThreadsChoice> } {
  const choices = new Map<string, ThreadsChoice>();
  return {
    choices,
    find: (key) => Promise.resolve(choices.get(key)),
    keep: async (key, choice) => void choices.set(key, choice),
  };
}

describe('a model whose threads are measured', () => {
  it('is in memory once at a time, and stays with what suits it', async () => {
    const fake = fakeServe({ 1: 100, 2: 52, 4: 30 });
    const { choice } = await choose(bare, fake);
    const { log, fed, clock } = fake;
    expect(log).toEqual(['load 1', 'close 1', 'load 2', 'close 2', 'load 4']);
    expect(choice).toMatchObject({ threads: 4, measured: [1, 2, 4].map((threads) => ({ threads })) });
    expect(choice.measured.map(({ runMs }) => runMs)).toEqual([100, 52, 30]);
    expect(choice.measuredAtMs).toBe(clock.nowMs());
    expect(fed[0]?.[0]?.shape).toEqual([1, 3, 8, 8]);
    expect(fed.length).toBeLessThanOrEqual(24);
  });

  it('is loaded with one thread again where more did not pay', async () => {
    const fake = fakeServe({ 1: 100, 2: 90, 4: 80 });
    expect((await choose(bare, fake)).choice.threads).toBe(1);
    expect(fake.log.slice(-2)).toEqual(['close 4', 'load 1']);
  });

  it('takes a bounded time for long runs', async () => {
    const fake = fakeServe({ 1: 4000, 2: 3900, 4: 3900 });
    await choose(bare, fake);
    expect(fake.fed).toHaveLength(6); // each number of threads is run twice, and once a second is over no more
  });

  it('is loaded once where its runs are short, or loading takes long', async () => {
    const short = fakeServe({ 1: 0.3 });
    expect((await choose(bare, short)).choice.threads).toBe(1);
    expect(short.log).toEqual(['load 1']);
    const slow = fakeServe({ 1: 100, 2: 51, 4: 26 }, { loadMs: 12_000 });
    const { choice } = await choose(bare, slow);
    expect(choice.reason).toBe('loading it takes 12 s: not loaded again to measure more');
    expect(slow.log).toEqual(['load 1']);
  });

  it('is fed a golden where its package has one', async () => {
    const fake = fakeServe({ 1: 1 });
    await choose(withGoldens, fake);
    expect(fake.fed[0]?.[0]?.datatype).toBe('BYTES');
  });

  it('has one thread, and says why, where it can not be measured', async () => {
    const open = fakeServe({ 1: 100 }, { input: { ...PICTURE, shape: [1, 3, -1, -1] } });
    const gpu = fakeServe({ 1: 100 }, { runs: 'cuda' });
    const chosen = [open, gpu].map((fake) => choose(bare, fake));
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
    await expect(choose(bare, { serve: failing, clock })).rejects.toThrow('no');
    expect(log).toEqual(['load 1', 'close 1']);
  });
});

describe('what was measured', () => {
  it('is kept: another start loads once, and runs nothing', async () => {
    const kept = keptInMemory();
    const { choice } = await choose(bare, fakeServe({ 1: 100, 2: 52, 4: 30 }), { kept });
    const again = fakeServe({ 1: 100, 2: 52, 4: 30 });
    expect((await choose(bare, again, { kept })).choice).toEqual(choice);
    expect([again.log, again.fed]).toEqual([['load 4'], []]);
  });

  it('is kept where one load told enough, and not where nothing could be measured', async () => {
    const kept = keptInMemory();
    await choose(bare, fakeServe({ 1: 100 }, { input: { ...PICTURE, shape: [1, 3, -1, -1] } }), { kept });
    await choose(bare, fakeServe({ 1: 100 }, { runs: 'cuda' }), { kept });
    expect(kept.choices.size).toBe(0);
    await choose(bare, fakeServe({ 1: 100 }, { loadMs: 12_000 }), { kept });
    expect([...kept.choices.values()]).toMatchObject([{ threads: 1, measured: [{ threads: 1, runMs: 100 }] }]);
  });

  it('is of this model, these cores and this deadline', async () => {
    const kept = keptInMemory();
    await choose(bare, fakeServe({ 1: 0.3 }), { kept });
    expect([...kept.choices.keys()]).toEqual([`${IDENTITY.variantDigest}, 4 cores, 30000 ms`]);
  });

  it('is measured again where it was measured beside other work', async () => {
    const kept = keptInMemory();
    const busy = await choose(bare, fakeServe({ 1: 100, 2: 90, 4: 80 }), { kept, busy: 0.6 });
    expect(busy.choice.reason).toContain('; measured beside other work, so the next start measures again');
    expect((await choose(bare, fakeServe({ 1: 300, 2: 52, 4: 30 }), { kept })).choice.threads).toBe(4);
    expect(kept.choices.size).toBe(0); // six times as fast with two threads: other work came while one was measured
  });

  it('is not for a GPU that has come since', async () => {
    const kept = keptInMemory();
    await choose(bare, fakeServe({ 1: 100, 2: 52, 4: 30 }), { kept });
    const gpu = fakeServe({ 1: 5 }, { runs: 'cuda' });
    expect((await choose(bare, gpu, { kept })).choice.threads).toBe(1);
    expect(gpu.log).toEqual(['load 4', 'close 4', 'load 1']);
  });
});
