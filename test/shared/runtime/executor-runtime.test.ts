// The runtime over real executor processes: many runs at once, death, hanging, replacement, closing, the parent's death.
// What sequences carry: executor-state.test.ts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { CrashRecord } from '@tidegate/shared/runtime/crash-record.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner } from '@tidegate/shared/runtime/graph-runner.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { HANG_LIMITS, type HangLimits } from '@tidegate/shared/runtime/hang-policy.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { recordedLog } from '../../support/recorded-log.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/onnx/${name}.onnx`, import.meta.url));
const never = new AbortController().signal;
const FOREVER = 2_000_000_000;

/** Feeds of slow.onnx: `rounds` matrix products; `tag` comes back. */
const slow = (rounds: number, tag: readonly number[] = [rounds]): NamedTensor[] => [
  tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(BigInt(rounds)))),
  tensor('tag', 'FP32', [tag.length], bytesOf(Float32Array.from(tag))),
];

describe('the executor runtime', () => {
  const runtimes: ExecutorRuntime[] = [];
  const start = (hangLimits: HangLimits = HANG_LIMITS, engine?: 'capi' | 'binding'): ExecutorRuntime => {
    const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, hangLimits, engine });
    runtimes.push(runtime);
    return runtime;
  };
  const load = (name: string, runtime = start(), concurrency = 2): Promise<GraphRunner> =>
    runtime.load({ label: name, path: fixture(name), providers: ['cpu'], intraOpThreads: 1, concurrency }, never);
  const errorOf = async (promise: Promise<unknown>): Promise<RuntimeError> => {
    const error: unknown = await promise.catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(RuntimeError);
    return error as RuntimeError;
  };
  const tagOf = async (run: ReturnType<GraphRunner['run']>): Promise<number[]> => {
    const { outputs } = await run;
    return [...float32Of(outputs.find((output) => output.name === 'tag_out')!)];
  };
  const alive = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false; // ESRCH: no such process
    }
  };

  afterEach(async () => {
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
  });

  it('loads, runs, measures and closes', async () => {
    const runner = await load('matmul');
    expect(runner.inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [-1, 4] }]);
    expect(runner.engine).toMatchObject({
      name: 'ort-capi',
      capabilities: { concurrentRuns: true, cancellable: true },
    });
    expect(runner.provider).toMatchObject({ runs: 'cpu', tried: [] });
    expect(runner.loadMs).toBeGreaterThan(0);
    const x = tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)));
    expect(runner.measuredUs([x])).toBeUndefined();
    const { outputs, computeUs } = await runner.run([x], [], never);
    expect([...float32Of(outputs[0]!)]).toEqual([6, 46]);
    expect(runner.measuredUs([x])).toBe(computeUs);
    const pid = runner.pid!;
    await runner.close();
    expect(alive(pid)).toBe(false);
    expect((await errorOf(runner.run([x], [], never))).code).toBe('closed');
  });

  it('gives runs no more threads, over all of them, than there are cores to use (B23)', async () => {
    const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, cores: 3 });
    runtimes.push(runtime);
    const options = { label: 'matmul', path: fixture('matmul'), providers: [] };
    const loaded = await Promise.all(
      [1, 2, 8].map((intraOpThreads) => runtime.load({ ...options, intraOpThreads }, never)),
    );
    expect(loaded.map(({ concurrency }) => concurrency)).toEqual([3, 1, 1]);
  });

  it('says in the log which graph runs in which process, under names that the log itself does not use', async () => {
    const log = recordedLog();
    const runtime = new ExecutorRuntime({ clock: systemClock, log });
    runtimes.push(runtime);
    const options = { label: 'm@sha256:ab12', path: fixture('matmul'), providers: [], intraOpThreads: 1 };
    const runner = await runtime.load(options, never);
    expect(log.lines).toMatchObject([
      { message: 'graph loaded', fields: { graph: 'matmul.onnx', executorPid: runner.pid } },
    ]);
    expect(log.lines[0]!.fields).not.toHaveProperty('pid'); // the log's own
  });

  it('carries tensors larger than any buffer on the way, exactly', async () => {
    const runner = await load('identity-uint8');
    const data = Uint8Array.from({ length: 5_000_003 }, (_, i) => (i * 31) ^ (i >> 8));
    const { outputs } = await runner.run([tensor('x', 'UINT8', [data.length], data)], [], never);
    expect(Buffer.compare(outputs[0]!.data, data)).toBe(0);
  });

  it('answers each of 200 runs at once with its own result', async () => {
    const runner = await load('slow');
    const tags = Array.from({ length: 200 }, (_, i) => i);
    const answers = await Promise.all(
      tags.map((tag) => tagOf(runner.run(slow(tag % 7, [tag, -tag]), [], new AbortController().signal))),
    );
    expect(answers).toEqual(tags.map((tag) => [tag, -tag]));
  });

  it("says the engine's reason when a graph can't be loaded", async () => {
    const error = await errorOf(load('broken'));
    expect(error.code).toBe('load-failed');
    expect(error.message).toMatch(/protobuf/i);
  });

  it('says so when no process can be started', async () => {
    const { execPath } = process;
    process.execPath = fixture('no-such-program');
    try {
      const error = await errorOf(load('slow'));
      expect(error.code).toBe('load-failed');
      expect(error.message).toMatch(/the executor of slow can't start: .*ENOENT/);
    } finally {
      process.execPath = execPath;
    }
  });

  it('refuses a wrong input by name and runs the next', async () => {
    const runner = await load('slow');
    const error = await errorOf(runner.run(slow(1).slice(0, 1), [], never));
    expect(error).toMatchObject({ code: 'invalid-input', message: 'input "tag" is missing', retryable: false });
    expect(await tagOf(runner.run(slow(1, [5]), [], never))).toEqual([5]);
  });

  it('ends a run whose caller went away, and frees its slot (B27)', async () => {
    const runner = await load('slow', start(), 1);
    const controller = new AbortController();
    const gone = runner.run(slow(FOREVER), [], controller.signal);
    const waiting = tagOf(runner.run(slow(1, [9]), [], never));
    const { pid } = runner;
    controller.abort();
    expect((await errorOf(gone)).code).toBe('cancelled');
    expect(await waiting).toEqual([9]);
    expect(runner.pid).toBe(pid);
  });

  it('replaces an executor that was killed in mid-run; a retry is answered, other graphs notice nothing', async () => {
    const runtime = start();
    const [victim, other] = await Promise.all([load('slow', runtime), load('matmul', runtime)]);
    const x = tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)));
    const otherPid = other.pid;
    const before = victim.pid!;
    const run = victim.run(slow(FOREVER), [], never);
    await victim.run(slow(1), [], never); // the other is in mid-run by now
    process.kill(before, 'SIGKILL');
    const error = await errorOf(run);
    expect(error).toMatchObject({ code: 'executor-died', retryable: true });
    expect(error.message).toMatch(/SIGKILL/);
    const retry = tagOf(victim.run(slow(1, [4]), [], AbortSignal.timeout(5_000)));
    expect((await other.run([x], [], never)).outputs).toHaveLength(1);
    expect(await retry).toEqual([4]);
    expect(victim.pid).not.toBe(before);
    expect(other.pid).toBe(otherPid);
  });

  it('kills and replaces an executor that was stopped, in under 5 s, and nothing else is lost (B20)', async () => {
    const runtime = start();
    const [runner, other] = await Promise.all([load('slow', runtime), load('matmul', runtime)]);
    for (let i = 0; i < 3; i++) await runner.run(slow(10), [], never);
    const before = runner.pid!;
    process.kill(before, 'SIGSTOP');
    const startedMs = performance.now();
    const inFlight = [1, 2, 3, 4].map(() => errorOf(runner.run(slow(10), [], never)));
    const x = tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)));
    const watched = { hung: false };
    void inFlight[0]!.then(() => (watched.hung = true));
    while (!watched.hung) {
      expect((await other.run([x], [], never)).outputs).toHaveLength(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const error of await Promise.all(inFlight)) {
      expect(error).toMatchObject({ code: 'executor-hung', retryable: true });
    }
    expect(await tagOf(runner.run(slow(10, [3]), [], never))).toEqual([3]);
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(runner.pid).not.toBe(before);
    expect(alive(before)).toBe(false);
  });

  it('leaves an executor alone that comes back within its grace (B20)', async () => {
    const runner = await load('slow');
    for (let i = 0; i < 3; i++) await runner.run(slow(10), [], never);
    const { pid } = runner;
    process.kill(pid!, 'SIGSTOP');
    const answers = [4, 5, 6].map((tag) => tagOf(runner.run(slow(10, [tag]), [], never)));
    await new Promise((resolve) => setTimeout(resolve, HANG_LIMITS.silenceMs / 2)); // time itself is under test
    process.kill(pid!, 'SIGCONT');
    expect(await Promise.all(answers)).toEqual([[4], [5], [6]]);
    expect(runner.pid).toBe(pid);
  });

  it('leaves a graph alone that loops as long as its data will: a long generation is no hang (B20)', async () => {
    const limits = { ...HANG_LIMITS, floorMs: 200 };
    const options = {
      label: 'slow',
      path: fixture('slow'),
      providers: [],
      intraOpThreads: 1,
      timeVaries: true,
    } as const;
    const runner = await start(limits).load(options, never);
    for (let i = 0; i < 3; i++) await runner.run(slow(1), [], never);
    const { pid } = runner;
    const controller = new AbortController();
    const run = runner.run(slow(FOREVER), [], controller.signal);
    await new Promise((resolve) => setTimeout(resolve, 800)); // well beyond eight times the slowest, and the floor
    controller.abort();
    expect((await errorOf(run)).code).toBe('cancelled');
    expect(runner.pid).toBe(pid);
  });

  it('ends a stopped executor over the plain binding too, whose executor is deaf while it computes', async () => {
    const runner = await load('slow', start({ ...HANG_LIMITS, floorMs: 500 }, 'binding'));
    expect(runner.engine).toMatchObject({ name: 'ort-binding', capabilities: { concurrentRuns: false } });
    expect(runner.concurrency).toBe(1);
    const tags = Array.from({ length: 20 }, (_, i) => i);
    const answers = await Promise.all(
      tags.map((tag) => tagOf(runner.run(slow(3, [tag]), [], new AbortController().signal))),
    );
    expect(answers).toEqual(tags.map((tag) => [tag]));
    process.kill(runner.pid!, 'SIGSTOP');
    expect((await errorOf(runner.run(slow(3), [], never))).code).toBe('executor-hung');
    expect(await tagOf(runner.run(slow(3, [2]), [], never))).toEqual([2]);
  });

  it('leaves a first run alone that is slow but alive (B19)', async () => {
    const runner = await load('slow', start({ ...HANG_LIMITS, floorMs: 200 }));
    const { pid } = runner;
    const controller = new AbortController();
    const run = runner.run(slow(FOREVER), [], controller.signal);
    await new Promise((resolve) => setTimeout(resolve, 800)); // well beyond the floor: time itself is under test
    expect(runner.pid).toBe(pid);
    controller.abort();
    expect((await errorOf(run)).code).toBe('cancelled');
    expect(await tagOf(runner.run(slow(1, [2]), [], never))).toEqual([2]);
  });

  it('kills a run that is alive but far beyond the measured time of its size', async () => {
    const runner = await load('slow', start({ ...HANG_LIMITS, floorMs: 300 }));
    for (let i = 0; i < 3; i++) await runner.run(slow(10), [], never);
    const error = await errorOf(runner.run(slow(FOREVER), [], never));
    expect(error).toMatchObject({ code: 'executor-hung', retryable: true });
    expect(error.message).toMatch(/a run has taken \d+ ms \(the slowest so far/);
    expect(await tagOf(runner.run(slow(1, [7]), [], never))).toEqual([7]);
  });

  it('stops waiting for a replacement when the caller stops', async () => {
    const runner = await load('slow');
    process.kill(runner.pid!, 'SIGKILL');
    await errorOf(runner.run(slow(FOREVER), [], never));
    expect((await errorOf(runner.run(slow(1), [], AbortSignal.timeout(1)))).code).toBe('cancelled');
    expect(await tagOf(runner.run(slow(1, [8]), [], never))).toEqual([8]);
  });

  it('runs nothing on a replacement that is not accepted, and says why it is in quarantine then (B18)', async () => {
    const crashes = new CrashRecord(systemClock);
    const asked: string[] = [];
    let refusal: string | undefined = 'a CPU runs it';
    const accept = ({ runs }: GraphRunner['provider']): void => {
      asked.push(runs);
      if (refusal !== undefined) throw new Error(refusal);
    };
    const options = { label: 'gpu', path: fixture('slow'), providers: [], intraOpThreads: 1, crashes, accept };
    const runner = await start().load(options, never);
    expect(asked).toEqual([]); // the first time is its loader's to judge
    await runner.park();
    const held = await errorOf(runner.run(slow(1), [], never));
    expect(held).toMatchObject({ code: 'quarantined', message: expect.stringMatching('a CPU runs it') as string });
    expect([asked, runner.pid]).toEqual([['cpu', 'cpu', 'cpu'], undefined]);
    refusal = undefined;
    crashes.release();
    expect(await tagOf(runner.run(slow(1, [1]), [], never))).toEqual([1]);
  });

  it('puts graphs whose executors are killed three times into quarantine, all of one model, until it is released', async () => {
    const runtime = start();
    const crashes = new CrashRecord(systemClock);
    const options = { path: fixture('slow'), providers: [], intraOpThreads: 1, crashes };
    const [one, two] = await Promise.all(
      ['one', 'two'].map((label) => runtime.load({ ...options, label }, never)) as [
        Promise<GraphRunner>,
        Promise<GraphRunner>,
      ],
    );
    for (const runner of [one, two, one]) {
      const run = errorOf(runner.run(slow(FOREVER), [], never));
      while (runner.pid === undefined) await new Promise((resolve) => setImmediate(resolve));
      process.kill(runner.pid, 'SIGKILL');
      expect((await run).code).toBe('executor-died');
    }
    for (const [runner, label] of [[one, 'one'] as const, [two, 'two'] as const]) {
      const held = await errorOf(runner.run(slow(1), [], never));
      expect(held).toMatchObject({ code: 'quarantined', retryable: false });
      expect(held.message).toMatch(`${label} is in quarantine: its executors ended 3 times within 10 minutes`);
      expect(held.message).toMatch('SIGKILL');
    }
    expect(one.pid).toBeUndefined();
    expect(crashes.deaths).toBe(3);
    crashes.release();
    expect(await tagOf(one.run(slow(1, [1]), [], never))).toEqual([1]);
    expect(await tagOf(two.run(slow(1, [2]), [], never))).toEqual([2]);
  });

  it('lets runs in flight end before it closes', async () => {
    const runner = await load('slow');
    const run = tagOf(runner.run(slow(2_000, [6]), [], never));
    await new Promise((resolve) => setImmediate(resolve));
    await runner.close();
    expect(await run).toEqual([6]);
  });

  it('can be cancelled while it loads, and leaves no process', async () => {
    const runtime = start();
    const controller = new AbortController();
    const loading = runtime.load(
      { label: 'slow', path: fixture('slow'), providers: [], intraOpThreads: 1 },
      controller.signal,
    );
    controller.abort();
    expect((await errorOf(loading)).code).toBe('cancelled');
  });

  it('leaves no executor behind when the parent is killed in mid-run', async () => {
    const script = fileURLToPath(new URL('../../../shared/dist/runtime/executor-runtime.js', import.meta.url));
    const program = `
      const { ExecutorRuntime } = await import(${JSON.stringify(script)});
      const { systemClock } = await import('@tidegate/shared/system/clock.js');
      const { silentLog } = await import('@tidegate/shared/system/log.js');
      const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
      const signal = new AbortController().signal;
      const runner = await runtime.load({ label: 'slow', path: process.argv[1], providers: [], intraOpThreads: 1 }, signal);
      const rounds = new Uint8Array(BigInt64Array.of(${FOREVER}n).buffer);
      const tag = { name: 'tag', datatype: 'FP32', shape: [0], data: new Uint8Array(0) };
      void runner.run([{ name: 'rounds', datatype: 'INT64', shape: [], data: rounds }, tag], [], signal);
      console.log(runner.pid);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program, fixture('slow')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    expect(alive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await expect.poll(() => alive(pid), { timeout: 3_000, interval: 20 }).toBe(false);
  });
});
