// What a device does when the hub, the disk or the power is gone at any step: it answers all the while, and goes on afterwards.
import { writeFileSync, openSync, writeSync, closeSync, existsSync, mkdirSync, statSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { StateError } from '@tidegate/edge-agent/state/state-error.js';
import type { SyncStep } from '@tidegate/edge-agent/sync/plan.js';
import { desiredState } from '../../support/fake-package-source.js';
import { syncDevices } from '../../support/sync-device.js';

const { withVersion1 } = syncDevices('reconciler-outages');

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

  it('drops compiled graphs before it refuses: they can be made again (B5)', async () => {
    const { made, source } = await withVersion1();
    const entry = join(made.dataDir, 'engine-cache', 'entry');
    mkdirSync(entry, { recursive: true });
    const { remove } = made.files;
    made.files.remove = async (tag, path) => {
      await remove(tag, path);
      if (path === entry) made.files.pretendFreeBytes(undefined);
    };
    made.files.pretendFreeBytes(16 * 1024 * 1024 + 2);
    const v2 = source.publish('digits', 2, 'twelve bytes');
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    expect(made.running('digits')).toBe(v2.model.variantDigest);
    expect(existsSync(entry)).toBe(false);
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
  const boundaries = (['download', 'verify', 'load', 'warm-up', 'self-test', 'switch', 'commit'] as const).flatMap(
    (step) => (['begin', 'end'] as const).map((edge) => [step, edge] as const),
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
