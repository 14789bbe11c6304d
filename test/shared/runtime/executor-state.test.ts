// What a graph carries over a sequence lives in its real executor: apart for each sequence, and lost with it, never made up.
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { CarriedState } from '@tidegate/shared/runtime/engine.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner } from '@tidegate/shared/runtime/graph-runner.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';

const path = fileURLToPath(new URL('../../fixtures/onnx/running-sum.onnx', import.meta.url));
const never = new AbortController().signal;
const FOREVER = 2_000_000_000;

const runtimes: ExecutorRuntime[] = [];
afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

const total: CarriedState = {
  initial: [tensor('total', 'FP32', [1], bytesOf(Float32Array.of(0)))],
  carried: new Map([['total_next', 'total']]),
};

function open(engine?: 'capi' | 'binding', state = total): Promise<GraphRunner> {
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, engine });
  runtimes.push(runtime);
  const options = { label: 'sum', path, providers: ['cpu'], intraOpThreads: 1, concurrency: 2 } as const;
  return runtime.load({ ...options, state }, never);
}

/** Adds `x`, `rounds` times, to what its sequence has come to; resolves to the sum. */
async function add(
  runner: GraphRunner,
  sequence: { key: number; step: number },
  x: number,
  [rounds, signal]: [number, AbortSignal] = [1, never],
): Promise<number> {
  const feeds = [
    tensor('x', 'FP32', [1], bytesOf(Float32Array.of(x))),
    tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(BigInt(rounds)))),
  ];
  return float32Of((await runner.run(feeds, ['sum'], signal, sequence)).outputs[0]!)[0]!;
}

describe('the state of a graph', () => {
  it.each(['capi', 'binding'] as const)('is kept in the executor, apart for each sequence (%s)', async (engine) => {
    const runner = await open(engine);
    expect(runner.engine.name).toBe(`ort-${engine}`);
    const sums = await Promise.all(
      [1, 2, 3, 4].map(async (key) => {
        for (let step = 0; step < 20; step += 1) await add(runner, { key, step }, key);
        return add(runner, { key, step: 20 }, 0);
      }),
    );
    expect(sums).toEqual([20, 40, 60, 80]);
    runner.forget?.(1);
    await expect(add(runner, { key: 1, step: 21 }, 1)).rejects.toMatchObject({ code: 'state-lost' });
    expect(await add(runner, { key: 2, step: 21 }, 2)).toBe(42);
  });

  it('goes on after a run that was given up, from where its caller was told that it is', async () => {
    const runner = await open();
    await add(runner, { key: 1, step: 0 }, 5);
    const controller = new AbortController();
    const given = add(runner, { key: 1, step: 1 }, 100, [FOREVER, controller.signal]);
    setTimeout(() => controller.abort(), 20);
    await expect(given).rejects.toMatchObject({ code: 'cancelled' });
    expect(await add(runner, { key: 1, step: 1 }, 1)).toBe(6);
  });

  it('is said to be lost when the executor dies, and never begins again by itself', async () => {
    const runner = await open();
    await add(runner, { key: 1, step: 0 }, 5);
    process.kill(runner.pid!, 'SIGKILL');
    expect(await add(runner, { key: 2, step: 0 }, 7).catch(() => add(runner, { key: 2, step: 0 }, 7))).toBe(7);
    await expect(add(runner, { key: 1, step: 1 }, 1)).rejects.toMatchObject({ code: 'state-lost' });
    expect(await add(runner, { key: 3, step: 0 }, 1)).toBe(1);
  });

  it("is refused with the model's load where the graph can't carry it", async () => {
    const wrong = { ...total, carried: new Map([['nothing', 'total']]) };
    await expect(open(undefined, wrong)).rejects.toThrow(/output "nothing" is not an output of the model/);
  });
});
