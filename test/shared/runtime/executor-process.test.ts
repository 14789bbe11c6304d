// What executors share: large tensors with their parent, and compiled graphs with each other. Through the runtime, with real
// processes that are killed at bad moments.
import { readdirSync, readFileSync, readlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner, LoadPhase } from '@tidegate/shared/runtime/graph-runner.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { childPids } from '../../support/child-processes.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { weightyFeeds, writeWeightyModel } from '../../support/weighty-model.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/onnx/${name}.onnx`, import.meta.url));
const never = new AbortController().signal;
const newFolder = temporaryFolders('executor-process');
const runtimes: ExecutorRuntime[] = [];

const errorOf = async (promise: Promise<unknown>): Promise<RuntimeError> => {
  const error: unknown = await promise.catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(RuntimeError);
  return error as RuntimeError;
};

/** What a descriptor is open on; the one that lists the others has gone by now. */
const linkOf = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
};

afterEach(async () => {
  await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
});

describe.runIf(process.platform === 'linux')('an executor that shares memory with its parent', () => {
  const SIZE = 1 << 17;
  const load = (engine?: 'capi' | 'binding'): Promise<GraphRunner> => {
    const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, engine });
    runtimes.push(runtime);
    const options = { label: 'identity', path: fixture('identity-uint8'), providers: [], intraOpThreads: 1 } as const;
    return runtime.load({ ...options, concurrency: 2 }, never);
  };
  const pattern = (seed: number): Uint8Array => Uint8Array.from({ length: SIZE + seed }, (_, i) => i * (seed + 3));
  const feeds = (data: Uint8Array): NamedTensor[] => [tensor('x', 'UINT8', [data.length], data)];
  const shares = (pid: number): boolean => readFileSync(`/proc/${pid}/maps`, 'utf8').includes('/dev/shm/tidegate-');
  const openFiles = (): number => readdirSync('/proc/self/fd').length;

  it.each(['capi', 'binding'] as const)('gives each of many runs its own answer (%s)', async (engine) => {
    const runner = await load(engine);
    expect(shares(runner.pid!)).toBe(true);
    for (let round = 0; round < 3; round++) {
      const inputs = Array.from({ length: 12 }, (_, i) => pattern(i + round));
      const answers = await Promise.all(
        inputs.map((data) => runner.run(feeds(data), [], new AbortController().signal)),
      );
      answers.forEach(({ outputs }, i) => expect(Buffer.compare(outputs[0]!.data, inputs[i]!)).toBe(0));
    }
  });

  it('leaves no descriptor, process or memory behind, loaded or refused; bench/load-unload.mjs does it 1,000 times (B21)', async () => {
    const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
    runtimes.push(runtime);
    const sharedFiles = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => linkOf(`/proc/self/fd/${fd}`).includes('tidegate-')).length;
    const before = [openFiles(), childPids(), sharedFiles()];
    for (const name of ['identity-uint8', 'broken', 'identity-uint8', 'missing', 'identity-uint8']) {
      const options = { label: name, path: fixture(name), providers: [], intraOpThreads: 1 } as const;
      const loading = runtime.load(options, never);
      if (!name.startsWith('identity')) {
        expect((await errorOf(loading)).code).toBe('load-failed');
        continue;
      }
      const runner = await loading;
      await runner.run(feeds(pattern(1)), [], never);
      await runner.close();
    }
    await expect.poll(() => [openFiles(), childPids(), sharedFiles()]).toEqual(before);
  });

  it('loses nothing to an executor that is killed with tensors in its hands, and leaks no descriptor', async () => {
    const runner = await load();
    await runner.run(feeds(pattern(1)), [], never);
    const before = openFiles();
    for (let i = 0; i < 2; i++) {
      const { pid } = runner;
      const runs = Array.from({ length: 8 }, (_, k) => runner.run(feeds(pattern(k)), [], never));
      process.kill(pid!, 'SIGKILL');
      for (const run of await Promise.allSettled(runs)) {
        if (run.status === 'rejected') expect(run.reason).toMatchObject({ code: 'executor-died' });
      }
      const { outputs } = await runner.run(feeds(pattern(9)), [], never);
      expect(Buffer.compare(outputs[0]!.data, pattern(9))).toBe(0);
      expect(shares(runner.pid!)).toBe(true);
    }
    expect(openFiles()).toBe(before);
  });
});

describe('executors with a cache of compiled graphs', () => {
  let path: string;
  beforeAll(async () => writeWeightyModel((path = join(newFolder(), 'weighty.onnx'))));
  const open = (folder = newFolder(), onPhase?: (phase: LoadPhase) => void): (() => Promise<GraphRunner>) => {
    const compiledCache = { folder, limitBytes: 2 ** 30 };
    const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, compiledCache });
    runtimes.push(runtime);
    const options = {
      label: 'weighty',
      content: 'sha256:1',
      providers: [],
      intraOpThreads: 1,
      concurrency: 1,
      onPhase,
    } as const;
    return () => runtime.load({ ...options, path }, never);
  };
  const mapsWeights = (pid: number): boolean => readFileSync(`/proc/${pid}/maps`, 'utf8').includes('weights.bin');

  it('loads what another executor has compiled, also in place of one that died', async () => {
    const next = open();
    const runner = await next();
    expect(runner.compiled).toEqual({ kind: 'used' }); // the one that compiled has gone
    const { outputs } = await runner.run(weightyFeeds(1), ['plain'], never);
    if (process.platform === 'linux') expect(mapsWeights(runner.pid!)).toBe(true);
    process.kill(runner.pid!, 'SIGKILL');
    await errorOf(runner.run(weightyFeeds(1), ['plain'], never));
    const again = await runner.run(weightyFeeds(1), ['plain'], never);
    expect(Buffer.compare(again.outputs[0]!.data, outputs[0]!.data)).toBe(0);
    expect(runner.compiled).toEqual({ kind: 'used' });
    expect(runner.sessionMs).toBeGreaterThan(0);
  });

  it('says what goes on while it loads: compiling may take minutes (B19)', async () => {
    const phases: LoadPhase[] = [];
    const load = open(newFolder(), (phase) => void phases.push(phase));
    const runner = await load();
    expect(phases.splice(0)).toEqual(['loading', 'compiling', 'loading']);
    await (await load()).close();
    expect(phases.splice(0)).toEqual(['loading']);
    await runner.park();
    await runner.wake(never);
    expect(phases).toEqual([]); // nobody watches by then
  });

  it('does without where an executor died that had answered nothing', async () => {
    const folder = newFolder();
    const runner = await open(folder)();
    process.kill(runner.pid!, 'SIGKILL');
    await errorOf(runner.run(weightyFeeds(1), ['plain'], never));
    await runner.run(weightyFeeds(1), ['plain'], never);
    expect(runner.compiled).toEqual({ kind: 'none', reason: 'an executor died over the compiled graph' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('compiles what was damaged anew the next time that it is loaded, and not while requests wait after a death', async () => {
    const folder = newFolder();
    const damage = (): void => {
      for (const entry of readdirSync(folder)) truncateSync(join(folder, entry, 'weights.bin'), 100);
    };
    const runner = await open(folder)();
    await runner.run(weightyFeeds(1), ['plain'], never);
    damage();
    process.kill(runner.pid!, 'SIGKILL');
    await errorOf(runner.run(weightyFeeds(1), ['plain'], never));
    await runner.run(weightyFeeds(1), ['plain'], never);
    expect(runner.compiled).toMatchObject({ kind: 'none' });
    const next = async (): Promise<unknown> => {
      await runner.park();
      await runner.wake(never);
      return runner.compiled;
    };
    expect(await next()).toEqual({ kind: 'used' });
    damage();
    expect(await next()).toMatchObject({ kind: 'none' }); // once: a cache that is too small would have it compile for ever
  });

  it.runIf(process.platform === 'linux')('does without where an executor dies while it loads', async () => {
    const before = new Set(childPids());
    const begun = (): number[] => childPids().filter((child) => !before.has(child));
    const loading = open()();
    await expect.poll(begun, { interval: 1 }).toHaveLength(1);
    process.kill(begun()[0]!, 'SIGKILL');
    expect((await loading).compiled).toMatchObject({ kind: 'none', reason: expect.stringMatching(/died over/) });
  });
});
