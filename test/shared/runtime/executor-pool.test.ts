// Which graphs find themselves in one process, through the runtime, and what a death in it costs each of them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { CrashRecord } from '@tidegate/shared/runtime/crash-record.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GraphRunner, LoadGraphOptions } from '@tidegate/shared/runtime/graph-runner.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';
import { weightyFeeds, writeWeightyModel } from '../../support/weighty-model.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../../fixtures/onnx/${name}.onnx`, import.meta.url));
const never = new AbortController().signal;
const newFolder = temporaryFolders('executor-pool');
const ones = [tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)))];

describe('the graphs of one model', () => {
  const log = recordedLog();
  const runtimes: ExecutorRuntime[] = [];
  const open = (folder?: string): ExecutorRuntime => {
    const compiledCache = folder === undefined ? undefined : { folder, limitBytes: 2 ** 30 };
    const runtime = new ExecutorRuntime({ clock: systemClock, log, cores: 2, compiledCache });
    runtimes.push(runtime);
    return runtime;
  };
  const load = (runtime: ExecutorRuntime, name: string, more: Partial<LoadGraphOptions> = {}): Promise<GraphRunner> =>
    runtime.load({ label: name, path: fixture(name), providers: [], intraOpThreads: 1, ...more }, never);
  const placed = (): unknown[] => log.lines.flatMap(({ fields }) => (fields as { executor?: unknown }).executor ?? []);

  afterEach(async () => {
    log.lines.length = 0;
    await Promise.all(runtimes.splice(0).map((runtime) => runtime.close()));
  });

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
    expect(placed()).toEqual(['open', 'join', 'alone', 'open']);
    expect(log.lines[1]).toMatchObject({ fields: { reason: 'with the other graphs of its model' } });
  });

  it('are loaded again together when their executor dies, which counts once', async () => {
    const [runtime, crashes] = [open(), new CrashRecord(systemClock)];
    const [one, two] = [await load(runtime, 'matmul', { crashes }), await load(runtime, 'matmul', { crashes })];
    const before = one.pid!;
    process.kill(before, 'SIGKILL');
    const run = async (runner: GraphRunner): Promise<number[]> => {
      const again = (): ReturnType<GraphRunner['run']> => runner.run(ones, [], never);
      return [...float32Of((await again().catch(again)).outputs[0]!)];
    };
    expect(await Promise.all([run(one), run(two)])).toEqual([
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
