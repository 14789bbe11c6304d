// Graphs in one executor, over real processes: what ends one of them, what ends all, and whom an end is laid to (B20).
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CrashRecord } from '@tidegate/shared/runtime/crash-record.js';
import { chooseStart, type StartChild } from '@tidegate/shared/runtime/executor-child.js';
import { ExecutorProcess } from '@tidegate/shared/runtime/executor-process.js';
import { HANG_LIMITS } from '@tidegate/shared/runtime/hang-policy.js';
import type { LoadedGraph } from '@tidegate/shared/runtime/loaded-graph.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/onnx/${name}.onnx`, import.meta.url));
const never = new AbortController().signal;
const FOREVER = 2_000_000_000;
const slow = (rounds: number): NamedTensor[] => [
  tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(BigInt(rounds)))),
  tensor('tag', 'FP32', [1], bytesOf(Float32Array.of(rounds))),
];
const ones = [tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)))];
const codeOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'answered',
    (error: unknown) => (error instanceof RuntimeError ? error.code : String(error)),
  );

describe('a graph in an executor that holds others', () => {
  const executors: ExecutorProcess[] = [];
  let startChild: StartChild;
  beforeAll(async () => {
    startChild = await chooseStart(silentLog);
  });
  const start = (slots = 2): ExecutorProcess => {
    const hangLimits = { ...HANG_LIMITS, floorMs: 300 };
    const executor = new ExecutorProcess(
      { label: 'shared', slots, intraOpThreads: 2 },
      { clock: systemClock, log: silentLog, startChild, hangLimits },
    );
    executors.push(executor);
    return executor;
  };
  const load = (name: string, executor: ExecutorProcess): Promise<LoadedGraph> => {
    const crashes = new CrashRecord(systemClock);
    const options = { label: name, path: fixture(name), providers: [], intraOpThreads: 2, slots: 2, crashes };
    return executor.load(options, never);
  };
  const sumsOf = async (graph: LoadedGraph): Promise<number[]> => {
    return [...float32Of((await graph.run(ones, [], never, undefined)).outputs[0]!)];
  };

  afterEach(() => {
    for (const executor of executors.splice(0)) executor.kill(new RuntimeError('closed', 'the test is over'));
  });

  it('answers beside them, and takes nothing of theirs along when it goes', async () => {
    const executor = start();
    const [one, two] = await Promise.all([load('matmul', executor), load('slow', executor)]);
    expect(one.pid).toBe(two.pid);
    expect(one.loaded.inputs).toHaveLength(1);
    const running = two.run(slow(50), [], never, undefined);
    expect(await sumsOf(one)).toEqual([6, 46]);
    await one.close();
    expect(await codeOf(sumsOf(one))).toBe('closed');
    expect(await codeOf(executor.load({ ...two.options, path: fixture('broken') }, never))).toBe('load-failed');
    expect(await codeOf(running)).toBe('answered');
    const again = await load('matmul', executor);
    expect(await sumsOf(again)).toEqual([6, 46]);
    await two.close();
    expect(executor.isEnding).toBe(false);
    await again.close();
    expect((await executor.ended).code).toBe('closed');
  });

  it.runIf(process.platform === 'linux')(
    'computes with the threads of the executor: no others come with it (B23)',
    async () => {
      const executor = start();
      const threads = (): number => readdirSync(`/proc/${executor.pid}/task`).length;
      const one = await load('matmul', executor);
      await sumsOf(one);
      const before = threads();
      const more = await Promise.all(['slow', 'matmul', 'slow'].map((name) => load(name, executor)));
      await Promise.all(
        more.flatMap((graph) => (graph.label === 'slow' ? graph.run(slow(5), [], never, 1) : sumsOf(graph))),
      );
      expect(threads()).toBe(before);
    },
  );

  it('is not blamed for a run of another that hangs, and its own run may be tried again (B20)', async () => {
    const executor = start();
    const [guilty, innocent] = await Promise.all([load('slow', executor), load('matmul', executor)]);
    await sumsOf(innocent);
    const hanging = codeOf(guilty.run(slow(FOREVER), [], never, 1));
    const waiting = codeOf(guilty.run(slow(FOREVER), [], never, 'may compile'));
    const caught = codeOf(innocent.run(ones, [], never, undefined)); // waits for a slot when the executor goes
    expect(await Promise.all([hanging, waiting, caught])).toEqual(['executor-hung', 'executor-hung', 'executor-hung']);
    expect((await innocent.ended).message).toMatch(/the executor of slow hung: a run has taken/);
    expect([guilty.blamed, innocent.blamed]).toEqual([true, false]);
  });

  it('is blamed for a death with all that computed in that moment, and not with those that waited', async () => {
    const executor = start();
    const graphs = await Promise.all(['slow', 'slow', 'matmul'].map((name) => load(name, executor)));
    const [one, two, idle] = graphs as [LoadedGraph, LoadedGraph, LoadedGraph];
    const runs = [one, two].map((graph) => codeOf(graph.run(slow(FOREVER), [], never, undefined)));
    const waiting = codeOf(idle.run(ones, [], never, undefined));
    process.kill(executor.pid, 'SIGKILL');
    expect(await Promise.all([...runs, waiting])).toEqual(['executor-died', 'executor-died', 'executor-died']);
    expect((await one.ended).code).toBe('executor-died');
    expect(graphs.map(({ blamed }) => blamed)).toEqual([true, true, false]);
  });

  it('may be given up while it loads', async () => {
    const executor = start();
    const kept = await load('matmul', executor);
    const controller = new AbortController();
    const loading = codeOf(executor.load({ ...kept.options, path: fixture('slow') }, controller.signal));
    controller.abort();
    expect(await loading).toBe('cancelled');
    expect(executor.graphs).toEqual([kept]);
    expect(await sumsOf(kept)).toEqual([6, 46]);
  });
});
