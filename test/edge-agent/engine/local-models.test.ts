// Real graphs in a real folder: what load and unload do to what is served.
import { copyFile, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineSlots } from '@tidegate/edge-agent/engine/engine-slots.js';
import { findLocalModels, LocalModels, TwoModelsError } from '@tidegate/edge-agent/engine/local-models.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { Residency } from '@tidegate/shared/residency/residency.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { writeBarePackage } from '../../support/bare-package.js';
import { recordedLog } from '../../support/recorded-log.js';
import { unlimitedResidency } from '../../support/unlimited-residency.js';

const fixtures = fileURLToPath(new URL('../../fixtures/onnx/', import.meta.url));
const signal = new AbortController().signal;
let folder: string;
let runtime: ExecutorRuntime;
let slots: EngineSlots;
let models: LocalModels;
let runs: [string, number][];
/** By the slots, though they were opened already. */
let openedAgain: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-local-'));
  const modules = { clock: systemClock, log: silentLog };
  runtime = new ExecutorRuntime(modules);
  runs = [];
  openedAgain = [];
  const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 8, heavy: false } as const;
  const onRun = (model: string, _version: string, rows: number): unknown => runs.push([model, rows]);
  slots = new EngineSlots(options, {
    runtime,
    residency: unlimitedResidency(),
    inspect: (path) => {
      openedAgain.push(path); // by whoever opens a bare graph, and by these models for nothing else
      return inspectGraphFile(path);
    },
    onRun,
    ...modules,
  });
  await copyFile(join(fixtures, 'add.onnx'), join(folder, 'sum.onnx'));
  models = new LocalModels([folder], slots, silentLog);
  await models.loadAll(await findLocalModels([folder], signal), signal);
});

afterEach(async () => {
  await slots.closeAll();
  await runtime.close();
  await rm(folder, { recursive: true });
});

const digestOf = (name: string): string | undefined => slots.active(name)?.source.versionDigest;
const inputsOf = (name: string): unknown => slots.serving(name)?.metadata.inputs.map((input) => input.name);

describe('local models', () => {
  it('say in which of several folders a package is wrong, and of a bare graph its path', async () => {
    for (const name of ['one', 'two']) {
      await mkdir(join(folder, name));
      await copyFile(join(fixtures, 'add.onnx'), join(folder, name, 'add.onnx'));
      await writeFile(join(folder, name, 'model.yaml'), `name: ${name}\nlicense: MIT\n`);
    }
    const wrong = `${join(folder, 'one', 'model.yaml')}, line `;
    await expect(findLocalModels([folder], signal)).rejects.toThrow(wrong);
    await expect(models.load('one', signal)).rejects.toThrow(wrong);
    await writeFile(join(folder, 'sum.onnx'), 'no graph');
    await expect(findLocalModels([join(folder, 'sum.onnx')], signal)).rejects.toThrow(
      `${join(folder, 'sum.onnx')}: is no ONNX graph`,
    );
  });

  it('are read again when they are loaded again', async () => {
    expect(inputsOf('sum')).toEqual(['a', 'b']);
    const first = slots.active('sum');
    await models.load('sum', signal);
    expect(slots.active('sum')).toBe(first); // the same files
    await copyFile(join(fixtures, 'identity-fp32.onnx'), join(folder, 'sum.onnx'));
    const before = digestOf('sum');
    await models.load('sum', signal);
    expect(digestOf('sum')).not.toBe(before);
    expect(inputsOf('sum')).toEqual(['x']);
    await first?.served.closed; // the one before is not left behind
  });

  it('are not loaded again from files that changed meanwhile, but on the order to', async () => {
    const before = slots.active('sum');
    await before?.served.park();
    await copyFile(join(fixtures, 'identity-fp32.onnx'), join(folder, 'sum.onnx'));
    const asked = before?.served.wake(signal);
    await expect(asked).rejects.toThrow(/in quarantine: .* sum.onnx: was changed since the model was opened/);
    await models.load('sum', signal);
    expect(inputsOf('sum')).toEqual(['x']);
  });

  it('come into service when they appear', async () => {
    await copyFile(join(fixtures, 'nonzero.onnx'), join(folder, 'late.onnx'));
    await models.load('late', signal);
    expect(slots.names()).toEqual(['late', 'sum']);
  });

  it('go out of service and come back', async () => {
    await models.unload('sum');
    expect(slots.names()).toEqual([]);
    expect(models.unloaded()).toEqual([{ name: 'sum', version: '1', ready: false, reason: 'unloaded' }]);
    await expect(models.unload('sum')).rejects.toMatchObject({ code: 'not-found' });
    await models.load('sum', signal);
    expect(slots.names()).toEqual(['sum']);
    expect(models.unloaded()).toEqual([]);
  });

  it('serve on where the new files are broken or gone', async () => {
    await writeFile(join(folder, 'sum.onnx'), 'no graph');
    await expect(models.load('sum', signal)).rejects.toMatchObject({ code: 'failed' });
    await rm(join(folder, 'sum.onnx'));
    await copyFile(join(fixtures, 'add.onnx'), join(folder, 'other.onnx'));
    await expect(models.load('sum', signal)).rejects.toMatchObject({ code: 'not-found' });
    expect(inputsOf('sum')).toEqual(['a', 'b']);
  });

  it('tell of their runs', async () => {
    const feed = (name: string) => ({ name, datatype: 'FP32' as const, shape: [2, 3], data: new Uint8Array(24) });
    const request = { inputs: [feed('a'), feed('b')], outputs: [], deadlineMs: systemClock.monotonicMs() + 20_000 };
    await slots.serving('sum')?.infer({ ...request, priority: 0 }, signal);
    expect(runs).toEqual([['sum', expect.any(Number)]]);
  });

  it('are opened, and so hashed, once for a load', async () => {
    await copyFile(join(fixtures, 'nonzero.onnx'), join(folder, 'late.onnx'));
    await models.load('late', signal);
    expect(slots.names()).toEqual(['late', 'sum']);
    expect(openedAgain).toEqual([]);
  });

  it('are not served under the digest of what lay there when they were found', async () => {
    await copyFile(join(fixtures, 'nonzero.onnx'), join(folder, 'late.onnx'));
    const found = await findLocalModels([folder], signal);
    await copyFile(join(fixtures, 'identity-fp32.onnx'), join(folder, 'late.onnx'));
    await expect(models.loadAll(found, signal)).rejects.toThrow(/'late' .* late.onnx: was changed since/);
    expect(slots.names()).toEqual(['sum']);
  });

  it('that do not fit the memory budget are named with the reason, and keep no other from being served', async () => {
    const wide = writeBarePackage(join(folder, 'wide'), 'wide', { privacy: '{ fallback: local }' });
    await writeFile(join(wide, 'more.bin'), '');
    await truncate(join(wide, 'more.bin'), 80 * 2 ** 20);
    await rm(join(folder, 'sum.onnx'));
    const log = recordedLog();
    const memoryOf = (): Promise<number> => Promise.resolve(10 * 2 ** 20);
    const residency = new Residency(
      { limitBytes: 100 * 2 ** 20 },
      { clock: systemClock, log: silentLog, memoryOf, ownPids: () => [1] },
    );
    const tight = new EngineSlots(
      { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 8, heavy: false },
      { runtime, residency, inspect: inspectGraphFile, clock: systemClock, log: silentLog },
    );
    const few = new LocalModels([folder], tight, log);
    const found = await findLocalModels([folder], signal);
    const reason = /it needs 140 MiB, and the memory budget of 100 MiB leaves 90 MiB/;
    await expect(few.loadAll(found, signal)).rejects.toThrow(reason); // nothing at all would be served
    await few.loadAll(found, signal, true);
    await copyFile(join(fixtures, 'add.onnx'), join(folder, 'sum.onnx'));
    await few.loadAll(await findLocalModels([folder], signal), signal);
    expect(tight.names()).toEqual(['sum']);
    const told = expect.stringMatching(reason) as string;
    expect(few.unloaded()).toEqual([{ name: 'wide', version: '1', ready: false, reason: told }]);
    expect(log.lines.at(-1)).toMatchObject({ level: 'error', fields: { model: 'wide', error: told } });
    expect([few.whyAbsent('wide', undefined), few.whyAbsent('wide', '1')]).toEqual([told, told]);
    expect([few.whyAbsent('wide', '2'), few.whyAbsent('sum', undefined)]).toEqual([undefined, undefined]);
    expect([few.privacyOf('wide')?.fallback, few.privacyOf('sum')?.fallback]).toEqual(['local', 'hub']);
    await expect(few.load('wide', signal)).rejects.toThrow(reason);
    await truncate(join(wide, 'more.bin'), 0);
    await few.load('wide', signal);
    expect([tight.names(), few.unloaded()]).toEqual([['sum', 'wide'], []]);
    await tight.closeAll();
  });

  it('have one name each', async () => {
    await expect(findLocalModels([folder, folder], signal)).rejects.toBeInstanceOf(TwoModelsError);
  });
});
