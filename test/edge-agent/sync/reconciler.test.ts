import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { STEP_TIMEOUTS } from '@tidegate/edge-agent/sync/limits.js';
import { desiredState, FakePackageSource } from '../../support/fake-package-source.js';
import { syncDevices } from '../../support/sync-device.js';

const { device, withVersion1 } = syncDevices('reconciler');

describe('when a model is desired', () => {
  it('goes through every step in order, each begun after the one before ended', async () => {
    const { made, v1 } = await withVersion1();
    const order = ['download', 'verify', 'load', 'warm-up', 'self-test', 'switch', 'commit'];
    expect(made.steps).toEqual(order.flatMap((step) => [`${step} begin`, `${step} end`]));
    expect(made.running('digits')).toBe(v1);
    expect(made.report('digits')).toMatchObject({ running: { variantDigest: v1, committed: true } });
    expect(made.report('digits')?.activation).toBeUndefined();
    expect(made.report('digits')?.running?.threads).toBeUndefined();
    const prepared = made.slots.active('digits');
    if (prepared !== undefined) prepared.threads = { threads: 2 };
    expect(made.report('digits')?.running?.threads).toBe(2);
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

describe('when a version compiles at its first run (B19)', () => {
  it('is warming with its share, while the version before answers, whose turn ends only afterwards', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two');
    const seen: unknown[] = [];
    made.slots.compile.set(v2.model.variantDigest, async () => {
      const { activation, running } = made.report('digits') ?? {};
      seen.push([running?.variantDigest, activation?.step, activation?.progress]);
    });
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((tenth) => [v1, 'warm-up', tenth / 10]));
    expect(made.running('digits')).toBe(v2.model.variantDigest);
  });

  it('says what it compiles while it is loaded, and how many of its graphs are done', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two');
    let seen: ReturnType<typeof made.report>;
    made.slots.compileAtLoad.set(v2.model.variantDigest, async () => void (seen = made.report('digits')));
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    expect(seen).toMatchObject({
      running: { variantDigest: v1 },
      activation: { step: 'load', progress: 0.5, doing: 'compiling b.onnx, 2 of 2 graphs' },
    });
    expect(made.report('digits')?.activation).toBeUndefined();
  });

  it('keeps the version before where the new one never gets warm, and says which step took too long', async () => {
    const { made, source, v1 } = await withVersion1();
    await made.stop();
    made.options = { timeouts: { ...STEP_TIMEOUTS, warmUpMs: 20 } };
    await made.start();
    const v2 = source.publish('digits', 2, 'two');
    made.slots.compile.set(v2.model.variantDigest, (share) =>
      share < 0.5 ? Promise.resolve() : new Promise(() => {}),
    );
    made.reconciler.accept(desiredState(2, [v2.model]));
    await made.settled();
    expect(made.running('digits')).toBe(v1);
    const { activation } = made.report('digits') ?? {};
    expect(activation).toMatchObject({ state: 'needs-attention', step: 'warm-up' });
    expect(activation?.error).toBe('step warm-up took longer than 20 ms');
  });
});

describe('when what was compiled of a version is damaged', () => {
  it('fails its self-test once: the second attempt starts from the verified files', async () => {
    const { made, source, v1 } = await withVersion1();
    const v2 = source.publish('digits', 2, 'two').model;
    const entryOf = (digest: string): string => {
      const entry = join(made.dataDir, 'engine-cache', digest.slice(-8));
      mkdirSync(entry, { recursive: true });
      writeFileSync(join(entry, 'manifest.json'), JSON.stringify({ content: `${digest} model.onnx` }));
      return entry;
    };
    const [intact, damaged] = [entryOf(v1), entryOf(v2.variantDigest)];
    made.slots.failSelfTest.has = (digest) => digest === v2.variantDigest && existsSync(damaged);
    made.reconciler.accept(desiredState(2, [v2]));
    await made.settled();
    expect(made.report('digits')).toMatchObject({ running: { variantDigest: v2.variantDigest, committed: true } });
    expect(made.steps.filter((step) => step === 'load begin')).toHaveLength(3);
    expect([intact, damaged].map((entry) => existsSync(entry))).toEqual([true, false]);
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
