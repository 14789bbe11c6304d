// Which graphs find themselves in one process, through the runtime, and what a death in it costs each of them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { CrashRecord } from '@tidegate/shared/runtime/crash-record.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner, LoadGraphOptions } from '@tidegate/shared/runtime/graph-runner.js';
import { TrustLedger } from '@tidegate/shared/runtime/trust-ledger.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { weightyFeeds, writeWeightyModel } from '../../support/weighty-model.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/onnx/${name}.onnx`, import.meta.url));
const never = new AbortController().signal;
const newFolder = temporaryFolders('executor-pool');
const FOREVER = 2_000_000_000;
const slow = (rounds: number): NamedTensor[] => [
  tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(BigInt(rounds)))),
  tensor('tag', 'FP32', [1], bytesOf(Float32Array.of(rounds))),
];
const ones = [tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)))];

const log = recordedLog();
const runtimes: ExecutorRuntime[] = [];
const open = (folder?: string, trust?: TrustLedger): ExecutorRuntime => {
  const compiledCache = folder === undefined ? undefined : { folder, limitBytes: 2 ** 30 };
  const runtime = new ExecutorRuntime({ clock: systemClock, log, cores: 2, compiledCache, trust });
  runtimes.push(runtime);
  return runtime;
};
const load = (runtime: ExecutorRuntime, name: string, more: Partial<LoadGraphOptions> = {}): Promise<GraphRunner> =>
  runtime.load({ label: name, path: fixture(name), providers: [], intraOpThreads: 1, ...more }, never);
const sums = async (runner: GraphRunner): Promise<number[]> => {
  const again = (): ReturnType<GraphRunner['run']> => runner.run(ones, [], never);
  return [...float32Of((await again().catch(again)).outputs[0]!)];
};

afterEach(async () => {
  log.lines.length = 0;
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

describe('the graphs of one model', () => {
  const placed = (): unknown[] =>
    log.lines.map(({ fields }) => (fields as { executorGraphs?: unknown }).executorGraphs);

  it('share an executor, but for one that holds state; each is logged with its reason', async () => {
    const [runtime, crashes] = [open(), new CrashRecord(systemClock)];
    const [one, two] = [await load(runtime, 'matmul', { crashes }), await load(runtime, 'slow', { crashes })];
    const state = {
      initial: [tensor('total', 'FP32', [1], bytesOf(Float32Array.of(0)))],
      carried: new Map([['total_next', 'total']]),
    };
    const [held, other] = [await load(runtime, 'running-sum', { crashes, state }), await load(runtime, 'matmul')];
    expect(two.pid).toBe(one.pid);
    expect(new Set([one.pid, held.pid, other.pid]).size).toBe(3);
    expect(placed()).toEqual([1, 2, 1, 1]);
    const reasons = ['models do not share executors here', 'models do not', 'sequences carry', 'models do not'];
    reasons.forEach((reason, i) => {
      expect(log.lines[i]!.fields).toMatchObject({ placedFor: expect.stringContaining(reason) as string });
    });
  });

  it('are loaded again together when their executor dies, which counts once', async () => {
    const [runtime, crashes] = [open(), new CrashRecord(systemClock)];
    const [one, two] = [await load(runtime, 'matmul', { crashes }), await load(runtime, 'matmul', { crashes })];
    const before = one.pid!;
    process.kill(before, 'SIGKILL');
    expect(await Promise.all([sums(one), sums(two)])).toEqual([
      [6, 46],
      [6, 46],
    ]);
    expect(one.pid).not.toBe(before);
    expect(two.pid).toBe(one.pid);
    expect(crashes.deaths).toBe(1);
  });

  it.runIf(process.platform === 'linux')('are compiled apart, and share what was compiled', async () => {
    const folder = newFolder();
    const path = join(folder, 'weighty.onnx');
    await writeWeightyModel(path);
    const [runtime, crashes] = [open(join(folder, 'cache')), new CrashRecord(systemClock)];
    const small = await load(runtime, 'matmul', { crashes });
    const large = await load(runtime, 'matmul', { crashes, path, content: 'sha256:1' });
    expect(large.pid).toBe(small.pid);
    expect(large.compiled).toEqual({ kind: 'used' });
    expect(readFileSync(`/proc/${large.pid}/maps`, 'utf8')).toContain('weights.bin');
    expect((await large.run(weightyFeeds(1), ['plain'], never)).outputs).toHaveLength(1);
  });
});

describe('graphs of several models', () => {
  const ready = { runs: 4, forMs: 0 };
  const model = (content: string): Partial<LoadGraphOptions> => ({ content, sizeBytes: 100 });
  const crashed = (trust: TrustLedger, content: string): boolean => trust.of(content).crashed;

  it('share an executor once they have proven themselves, and lose no answer on the way there', async () => {
    const trust = new TrustLedger({ clock: systemClock, log }, ready);
    const runtime = open(undefined, trust);
    const [one, two] = await Promise.all(['a', 'b'].map((name) => load(runtime, 'matmul', model(name))));
    const [first, second] = [one!.pid, two!.pid];
    expect(first).not.toBe(second);
    for (let run = 0; run < 4; run += 1) expect(await sums(one!)).toEqual([6, 46]);
    expect(one!.place).toMatchObject({ pid: first, graphs: 1, reason: expect.stringContaining('proven') as string });
    const answers = await Promise.all(Array.from({ length: 8 }, () => sums(two!)));
    expect(answers).toEqual(answers.map(() => [6, 46]));
    await expect.poll(() => two!.pid).toBe(first);
    expect(await sums(two!)).toEqual([6, 46]);
    const shares = [one, two].map((runner) => runner!.place!.memoryShare);
    expect(shares[0]! + shares[1]!).toBeCloseTo(1);
    const third = await load(runtime, 'matmul', model('new'));
    expect(third.place).toMatchObject({
      graphs: 1,
      reason: expect.stringMatching(/prove itself first .0 of 4 answers/) as string,
    });
    await two!.park(); // its memory is given back, the others stay
    expect([one!.pid, one!.place?.graphs]).toEqual([first, 1]);
    expect(await sums(two!)).toEqual([6, 46]);
    expect(two!.pid).toBe(first);
  });

  it('lose no answer when one of them ends the executor: it goes alone, the others stay together (B20)', async () => {
    const trust = new TrustLedger({ clock: systemClock, log }, { runs: 1, forMs: 3_600_000 });
    for (const content of ['a', 'b', 'c']) trust.of(content).proven = true;
    const runtime = open(undefined, trust);
    const records = ['a', 'b', 'c'].map(() => new CrashRecord(systemClock));
    const [guilty, two, three] = (await Promise.all(
      ['slow', 'matmul', 'matmul'].map((name, i) => load(runtime, name, { ...model('abc'[i]!), crashes: records[i]! })),
    )) as [GraphRunner, GraphRunner, GraphRunner];
    const before = guilty.pid!;
    expect([two.pid, three.pid]).toEqual([before, before]);
    const ending = [1, 2].map(() => guilty.run(slow(FOREVER), [], never).catch((error: unknown) => error));
    const answers = Promise.all([sums(two), sums(three)]); // they wait for the slots that it has
    process.kill(before, 'SIGSEGV');
    expect(await answers).toEqual([
      [6, 46],
      [6, 46],
    ]);
    for (const error of ending) expect(await error).toMatchObject({ code: 'executor-died', retryable: true });
    expect((await guilty.run(slow(1), ['mean'], never)).outputs).toHaveLength(1);
    expect(two.pid).toBe(three.pid);
    expect(new Set([before, guilty.pid, two.pid]).size).toBe(3);
    expect(records.map(({ deaths }) => deaths)).toEqual([1, 0, 0]);
    expect([crashed(trust, 'a'), crashed(trust, 'b')]).toEqual([true, false]);
    expect(guilty.place?.reason).toMatch('an executor ended while it alone computed');
  });

  it('are parted by a SIGKILL too, but it is no mark: memory ran out, or somebody killed it', async () => {
    const trust = new TrustLedger({ clock: systemClock, log }, { runs: 1, forMs: 0 });
    for (const content of ['a', 'b']) trust.of(content).proven = true;
    const runtime = open(undefined, trust);
    const [one, two] = [await load(runtime, 'matmul', model('a')), await load(runtime, 'slow', model('b'))];
    const run = two.run(slow(FOREVER), [], never).catch((error: unknown) => error);
    process.kill(one.pid!, 'SIGKILL');
    expect(await run).toMatchObject({ code: 'executor-died' });
    await expect.poll(() => two.place?.reason).toMatch(/has to prove itself/);
    expect(two.pid).not.toBe(one.pid);
    expect(crashed(trust, 'b')).toBe(false);
  });
});
