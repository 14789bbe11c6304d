import { writeFileSync, readdirSync, openSync, writeSync, closeSync, statSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { StateError } from '@tidegate/edge-agent/state/state-error.js';
import type { SyncStep } from '@tidegate/edge-agent/sync/plan.js';
import { desiredState, FakePackageSource } from '../../support/fake-package-source.js';
import { SyncDevice } from '../../support/sync-device.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('reconciler');
const running: SyncDevice[] = [];

function device(source = new FakePackageSource()): SyncDevice {
  const made = new SyncDevice(folder(), source);
  running.push(made);
  return made;
}

afterEach(async () => {
  for (const made of running.splice(0)) await made.stop();
});

async function withVersion1(probationMs = 0): Promise<{ made: SyncDevice; source: FakePackageSource; v1: string }> {
  const source = new FakePackageSource();
  const made = device(source);
  const v1 = source.publish('digits', 1, 'one', { probationMs });
  await made.start();
  made.reconciler.accept(desiredState(1, [v1.model]));
  await made.settled();
  return { made, source, v1: v1.model.variantDigest };
}

describe('when a model is desired', () => {
  it('goes through every step in order, each begun after the one before ended', async () => {
    const { made, v1 } = await withVersion1();
    const order = ['download', 'verify', 'load', 'self-test', 'switch', 'commit'];
    expect(made.steps).toEqual(order.flatMap((step) => [`${step} begin`, `${step} end`]));
    expect(made.running('digits')).toBe(v1);
    expect(made.report('digits')).toMatchObject({ running: { variantDigest: v1, committed: true } });
    expect(made.report('digits')?.activation).toBeUndefined();
  });

  it('fetches only files that are not held, and closes the old version after the commit', async () => {
    const { made, source } = await withVersion1();
    const before = source.fetched.length;
    const v2 = source.publish('digits', 2, 'two');
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    expect(source.fetched.length - before).toBe(1);
    expect([...made.slots.open].map((open) => open.source.version)).toEqual(['2']);
  });

  it('ignores an old, a repeated and a foreign document', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two');
    expect(made.reconciler.accept(desiredState(1, [v2.model]))).toBe('old');
    expect(made.reconciler.accept(desiredState(0, []))).toBe('old');
    expect(made.reconciler.accept(desiredState(9, [v2.model], 'another'))).toBe('foreign');
    expect(made.running('digits')).toBe(v1);
  });

  it('takes a model that is no longer desired out of service and deletes its files', async () => {
    const { made } = await withVersion1();
    made.reconciler.accept(desiredState(2, []));
    await made.until(() => made.steps.includes('collect end'));
    expect(made.slots.names()).toEqual([]);
    expect(readdirSync(join(made.dataDir, 'models', 'blobs'))).toEqual([]);
    expect(made.state.activations.active().size).toBe(0);
    expect(made.source.forgotten).toHaveLength(1);
  });
});

describe('when a version is bad', () => {
  it.each(['failLoad', 'failSelfTest'] as const)(
    '%s: exactly two attempts, the old one answers, over restarts (B12)',
    async (how) => {
      const { made, source, v1 } = await withVersion1();
      const v2 = source.publish('digits', 2, 'two');
      made.slots[how].add(v2.model.variantDigest);
      made.reconciler.accept(desiredState(2, [v2.model]));
      await made.settled();
      expect(made.report('digits')).toMatchObject({
        running: { variantDigest: v1, committed: true },
        activation: { state: 'needs-attention', attempt: 2, variantDigest: v2.model.variantDigest },
      });
      expect(made.events.filter((event) => event.startsWith('activation-failed'))).toHaveLength(2);
      const loads = made.steps.filter((step) => step === 'load begin').length;
      await made.stop();
      await made.start();
      expect(made.running('digits')).toBe(v1);
      await new Promise((resolve) => setImmediate(resolve));
      expect(made.steps.filter((step) => step === 'load begin').length).toBe(loads);
      // A new rollout of the same digest is an operator's word: it is tried again.
      made.slots[how].clear();
      made.reconciler.accept(desiredState(3, [{ ...v2.model, rolloutId: 'again' }]));
      await made.settled();
      expect(made.running('digits')).toBe(v2.model.variantDigest);
    },
  );

  it('refuses what signed metadata does not name, and what arrives damaged', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two');
    source.unsigned.add(v2.model.variantDigest);
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    expect(made.report('digits')?.activation).toMatchObject({
      step: 'download',
      state: 'needs-attention',
      error: 'not signed',
    });
    const v3 = source.publish('digits', 3, 'three');
    for (const file of v3.manifest.files) source.damaged.add(file.digest);
    made.reconciler.accept(desiredState(3, [v3.model]));
    await made.settled();
    expect(made.report('digits')?.activation?.error).toContain('model.onnx');
    expect(made.running('digits')).toBe(v1);
  });

  it('refuses a signed manifest that is not what was desired', async () => {
    const { made, source, v1 } = await withVersion1();
    const other = source.publish('other', 1, 'foreign');
    made.reconciler.accept(desiredState(2, [{ ...other.model, name: 'digits' }]));
    await made.settled();
    expect(made.report('digits')?.activation?.error).toContain('other');
    expect(made.running('digits')).toBe(v1);
  });

  it('rolls back in probation, reports it as rolled back, and asks for attention after the second (B12, B13)', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two', { probationMs: 60_000 });
    const bad = v2.model.variantDigest;
    const seen = new Set<string>();
    const failing = setInterval(() => {
      const state = made.report('digits')?.activation?.state;
      if (state !== undefined) seen.add(state);
      if (made.running('digits') !== bad) return;
      made.watch.finished({
        model: 'digits',
        versionDigest: '',
        variantDigest: bad,
        totalMs: 1,
        edgeConfidence: undefined,
        outcome: 'model-error',
      });
    }, 1);
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    clearInterval(failing);
    expect(made.slots.history).toEqual([v1, bad, v1, bad, v1]);
    expect(seen).toContain('rolled-back');
    expect(made.report('digits')).toMatchObject({
      running: { variantDigest: v1, committed: true },
      activation: { state: 'needs-attention', attempt: 2, step: 'probation' },
    });
    expect(made.report('digits')?.activation?.error).toContain('error rate');
    expect([...made.slots.open].map((open) => open.source.version)).toEqual(['1']);
  });

  it('takes a first version that fails probation out of service, and stays up (B15)', async () => {
    const source = new FakePackageSource();
    const made = device(source);
    await made.start();
    const v1 = source.publish('digits', 1, 'one', { probationMs: 60_000 });
    made.reconciler.accept(desiredState(1, [v1.model]));
    await made.until(() => made.running('digits') !== undefined);
    (made.slots.active('digits') as { executorDeaths: number }).executorDeaths = 9;
    await made.until(() => made.report('digits')?.activation?.state === 'rolled-back');
    expect(made.report('digits')?.running).toBeUndefined();
  });
});

describe('when the hub changes its mind', () => {
  it('a newer desired state ends a stuck step at once (B15)', async () => {
    const { made, source } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two');
    const v3 = source.publish('digits', 3, 'three');
    made.slots.hangLoad.add(v2.model.variantDigest);
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.until(() => made.steps.at(-1) === 'load begin');
    made.reconciler.accept(desiredState(3, [v3.model]));
    await made.settled();
    expect(made.running('digits')).toBe(v3.model.variantDigest);
    expect(made.slots.history).not.toContain(v2.model.variantDigest);
  });

  it('back to the previous version during probation: switched back without loading or fetching anything', async () => {
    const { made, source, v1 } = await withVersion1();
    const v1Model = made.state.activations.active().get('digits')?.running;
    const v2 = source.publish('digits', 2, 'two', { probationMs: 60_000 });
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.until(() => made.running('digits') === v2.model.variantDigest);
    const steps = made.steps.length;
    made.reconciler.accept(desiredState(3, [v1Model as typeof v2.model]));
    await made.settled();
    expect(made.running('digits')).toBe(v1);
    expect(made.steps.slice(steps).filter((step) => step.endsWith('begin'))[0]).toBe('roll-back begin');
    expect(made.events).toEqual([]);
  });

  it('back to the previous version after the commit: no byte is fetched', async () => {
    const { made, source, v1 } = await withVersion1();
    const first = made.state.activations.active().get('digits')?.running;
    const v2 = source.publish('digits', 2, 'two');
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    source.away = true;
    made.reconciler.accept(desiredState(3, [first as typeof v2.model]));
    await made.settled();
    expect(made.running('digits')).toBe(v1);
  });

  it('a roll back does not wait for the download of another model', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two', { probationMs: 60_000 });
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.until(() => made.running('digits') === v2.model.variantDigest);
    const big = source.publish('big', 1, 'large');
    source.beforeFile = (signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
    made.reconciler.accept(desiredState(3, [v2.model, big.model]));
    await made.until(() => made.steps.at(-1) === 'download begin');
    (made.slots.active('digits') as { executorDeaths: number }).executorDeaths = 9;
    await made.until(() => made.running('digits') === v1);
    source.beforeFile = async () => undefined;
    await made.until(() => made.report('big')?.running !== undefined);
  });

  it('losing the hub right after the switch never causes a roll back (B13)', async () => {
    const { made, source } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two', { probationMs: 30 });
    made.atBoundary = (step, edge) => {
      if (step === 'switch' && edge === 'end') source.away = true;
    };
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    expect(made.report('digits')?.running).toMatchObject({ variantDigest: v2.model.variantDigest, committed: true });
  });
});

describe('when the hub or the disk is away', () => {
  it('an outage costs no attempt, and the download goes on by itself', async () => {
    const { made, source } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two');
    source.away = true;
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.until(() => made.steps.filter((step) => step === 'download begin').length >= 6);
    expect(made.report('digits')?.activation).toMatchObject({ state: 'running', attempt: 1, error: 'the hub is away' });
    source.away = false;
    await made.settled();
    expect(made.running('digits')).toBe(v2.model.variantDigest);
  });

  it('refuses before the first byte with need and have, then recovers by itself (B5)', async () => {
    const { made, source, v1 } = await withVersion1();
    const fetched = source.fetched.length;
    made.files.pretendFreeBytes(16 * 1024 * 1024 + 2);
    const v2 = source.publish('digits', 2, 'twelve bytes');
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.until(() => made.report('digits')?.activation?.error !== undefined);
    expect(made.report('digits')?.activation?.error).toBe('not enough space: need 12 bytes, have 2');
    expect(source.fetched.length).toBe(fetched);
    expect(made.running('digits')).toBe(v1);
    made.files.pretendFreeBytes(undefined);
    await made.settled();
    expect(made.running('digits')).toBe(v2.model.variantDigest);
  });

  it.each(['save', 'saveActive', 'commit'] as const)(
    'a state database that is full at %s: nothing switches that is not written down, then it goes on (B5)',
    async (method) => {
      const { made, source, v1 } = await withVersion1();
      const v2 = source.publish('digits', 2, 'two');
      const { activations } = made.state;
      let refused = 0;
      Object.assign(activations, {
        [method]: () => {
          refused += 1;
          throw new StateError('full', 'no space');
        },
      });
      made.reconciler.accept(desiredState(2, [v2.model]));
      await made.until(() => refused >= 3);
      const running = activations.active().get('digits')?.running.variantDigest;
      expect(made.running('digits')).toBe(running);
      expect(running).toBe(method === 'commit' ? v2.model.variantDigest : v1);
      Reflect.deleteProperty(activations, method);
      await made.settled();
      expect(made.running('digits')).toBe(v2.model.variantDigest);
      expect(made.events).toEqual([]);
    },
  );

  it.each(['content.commit', 'models.manifest', 'models.assemble', 'state.mirror', 'models.free', 'models.verify'])(
    'ENOSPC in %s at any step: keeps answering, then goes on (B5)',
    async (tag) => {
      const { made, source, v1 } = await withVersion1();
      const v2 = source.publish('digits', 2, 'two');
      made.files.failNext(tag, 'ENOSPC');
      made.reconciler.accept(desiredState(2, [v2.model]));
      expect(made.running('digits')).toBe(v1);
      await made.settled();
      expect(made.running('digits')).toBe(v2.model.variantDigest);
    },
  );
});

describe('when the power goes', () => {
  const boundaries = (['download', 'verify', 'load', 'self-test', 'switch', 'commit'] as const).flatMap((step) =>
    (['begin', 'end'] as const).map((edge) => [step, edge] as const),
  );

  it.each(boundaries)(
    'at %s %s: the old or the new version answers, without the hub, and the new one arrives (B4)',
    async (step, edge) => {
      const { made, source, v1 } = await withVersion1();
      const v2 = source.publish('digits', 2, 'two');
      const dead = new Promise<void>((resolve) => {
        made.atBoundary = (at: SyncStep['kind'], when) => {
          if (at !== step || when !== edge) return;
          void made.crash().then(resolve);
          throw new Error('the plug was pulled');
        };
      });
      made.reconciler.accept(desiredState(2, [v2.model]));
      await dead;
      made.atBoundary = () => undefined;
      source.away = true;
      await made.start();
      expect([v1, v2.model.variantDigest]).toContain(made.running('digits'));
      source.away = false;
      await made.settled();
      expect(made.report('digits')?.running).toMatchObject({ variantDigest: v2.model.variantDigest, committed: true });
      expect([...made.slots.open]).toHaveLength(1);
    },
  );

  it.each(['begin', 'end'] as const)(
    'at roll-back %s: the old version answers, or the bad one until it is undone',
    async (edge) => {
      const { made, source, v1 } = await withVersion1();
      const v2 = source.publish('digits', 2, 'two', { probationMs: 60_000 });
      const bad = v2.model.variantDigest;
      const dead = new Promise<void>((resolve) => {
        made.atBoundary = (at, when) => {
          if (at === 'switch' && when === 'end')
            (made.slots.active('digits') as { executorDeaths: number }).executorDeaths = 9;
          if (at !== 'roll-back' || when !== edge) return;
          void made.crash().then(resolve);
          throw new Error('the plug was pulled');
        };
      });
      made.reconciler.accept(desiredState(2, [v2.model]));
      await dead;
      source.away = true;
      made.atBoundary = (at, when) => {
        if (at === 'switch' && when === 'end')
          (made.slots.active('digits') as { executorDeaths: number }).executorDeaths = 9;
      };
      await made.start();
      expect([v1, bad]).toContain(made.running('digits'));
      if (made.running('digits') === bad)
        (made.slots.active('digits') as { executorDeaths: number }).executorDeaths = 9;
      await made.settled();
      expect(made.running('digits')).toBe(v1);
      expect(made.report('digits')?.activation).toMatchObject({ state: 'needs-attention', attempt: 2 });
    },
  );

  it('20 power cycles offline: every active model answers again and nobody asks the hub (B4)', async () => {
    const { made, source, v1 } = await withVersion1();
    source.away = true;
    const calls = source.manifestCalls;
    for (let cycle = 0; cycle < 20; cycle += 1) {
      await made.crash();
      await made.start();
      expect(made.running('digits')).toBe(v1);
    }
    expect(source.manifestCalls).toBe(calls);
  });

  it('a version that kills the agent again and again is given up, and the old one answers (B12)', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two');
    made.reconciler.accept(desiredState(2, [v2.model]));
    for (let boot = 0; boot < 3; boot += 1) {
      await new Promise<void>((resolve) => {
        made.atBoundary = (step, edge) => {
          if (step !== 'self-test' || edge !== 'begin') return;
          void made.crash().then(resolve);
          throw new Error('the plug was pulled');
        };
        if (boot > 0) void made.start();
      });
    }
    made.atBoundary = () => undefined;
    await made.start();
    await made.settled();
    expect(made.report('digits')?.activation).toMatchObject({ state: 'needs-attention' });
    expect(made.report('digits')?.activation?.error).toContain('died 3 times');
    expect(made.running('digits')).toBe(v1);
  });

  it('a broken database offline is rebuilt, and what was served is served (B24, B4)', async () => {
    const { made, source, v1 } = await withVersion1();
    await made.stop();
    const path = join(made.dataDir, 'state.db');
    const file = openSync(path, 'r+');
    for (let offset = 0; offset < statSync(path).size; offset += 512)
      writeSync(file, Buffer.alloc(64, 0x5a), 0, 64, offset);
    closeSync(file);
    source.away = true;
    await made.start();
    expect(made.state.rebuiltBecause).toBeDefined();
    expect(made.running('digits')).toBe(v1);
  });

  it('damaged model files are noticed at start: not loaded, fetched again', async () => {
    const { made, source, v1 } = await withVersion1();
    const [file] = made.source.publish('digits', 1, 'one').manifest.files.slice(-1);
    await made.stop();
    const path = join(made.dataDir, 'models', 'blobs', String(file?.digest.slice(7)));
    rmSync(path);
    writeFileSync(path, 'eno');
    source.away = true;
    await made.start();
    expect(made.running('digits')).toBeUndefined();
    expect(made.events.join()).toContain('changed on disk');
    source.away = false;
    await made.settled();
    expect(made.running('digits')).toBe(v1);
  });
});
