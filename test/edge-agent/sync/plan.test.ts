import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ActivationRecord, ActiveVersion } from '@tidegate/edge-agent/state/activations.js';
import {
  ATTEMPTS_MAX,
  INTERRUPTIONS_MAX,
  plan,
  sameActivation,
  type PlanInput,
  type SyncStep,
} from '@tidegate/edge-agent/sync/plan.js';
import { failedRecord } from '@tidegate/edge-agent/sync/step-failures.js';
import type { DesiredModel } from '@tidegate/shared/wire/desired-state.js';
import { sha256, type Digest } from '@tidegate/shared/wire/digest.js';
import { desiredState } from '../../support/fake-package-source.js';

const target = (name: string, version: number, more: Partial<DesiredModel> = {}): DesiredModel => ({
  name,
  version,
  versionDigest: sha256(`version ${name} ${version}`),
  variant: 'fp32',
  variantDigest: sha256(`variant ${name} ${version}`),
  sizeBytes: 10,
  probationMs: 1000,
  ...more,
});

const input = (more: Partial<PlanInput>): PlanInput => ({
  desired: undefined,
  active: new Map(),
  records: [],
  loaded: new Map(),
  prepared: new Set(),
  probation: new Map(),
  held: [],
  notBeforeMs: new Map(),
  nowMs: 0,
  ...more,
});

const active = (running: DesiredModel, more: Partial<ActiveVersion> = {}): ActiveVersion => ({
  running,
  sinceMs: 0,
  committed: true,
  ...more,
});

const v1 = target('digits', 1);
const v2 = target('digits', 2);
const running1 = { active: new Map([['digits', active(v1)]]), loaded: new Map([['digits', v1.variantDigest]]) };

describe('the plan', () => {
  it('waits when what is desired runs and is committed', () => {
    expect(plan(input({ ...running1, desired: desiredState(1, [v1]) }))).toEqual({ kind: 'wait', untilMs: undefined });
  });

  it('loads what was active before anything else, and without knowing what is desired (B4)', () => {
    expect(plan(input({ active: running1.active }))).toEqual({ kind: 'start', model: 'digits', target: v1 });
  });

  it('does not load what is no longer desired: it is removed', () => {
    const step = plan(input({ active: running1.active, desired: desiredState(2, []) }));
    expect(step).toEqual({ kind: 'remove', model: 'digits' });
  });

  it('deletes nothing before it was told what is wanted', () => {
    expect(plan(input({ held: [v1.variantDigest] })).kind).toBe('wait');
    expect(plan(input({ held: [v1.variantDigest], desired: desiredState(1, []) }))).toEqual({
      kind: 'collect',
      digests: [v1.variantDigest],
    });
  });

  it('goes back to loading when the spare executor went with the agent', () => {
    const record: ActivationRecord = { target: v2, step: 'switch', state: 'running', attempt: 1, interruptions: 0 };
    const state = { ...running1, desired: desiredState(2, [v2]), records: [record] };
    expect(plan(input(state)).kind).toBe('load');
    expect(plan(input({ ...state, prepared: new Set([v2.variantDigest]) })).kind).toBe('switch');
  });

  it('a model that waits after a failure does not hold up another', () => {
    const other = target('lines', 1);
    const state = { desired: desiredState(1, [v1, other]), notBeforeMs: new Map([['forward digits' as const, 50]]) };
    expect(plan(input(state))).toMatchObject({ kind: 'download', target: other });
    expect(plan(input({ ...state, desired: desiredState(1, [v1]) }))).toEqual({ kind: 'wait', untilMs: 50 });
  });

  it('undoes at once when the hub goes back to the previous version in probation (B15)', () => {
    const uncommitted = active(v2, { committed: false, previous: v1 });
    const step = plan(
      input({
        active: new Map([['digits', uncommitted]]),
        loaded: new Map([['digits', v2.variantDigest]]),
        probation: new Map([['digits', { kind: 'watching', untilMs: 900 }]]),
        desired: desiredState(3, [v1]),
      }),
    );
    expect(step).toMatchObject({ kind: 'roll-back', superseded: true });
  });

  it('gives up an activation in which the agent died too often (B12)', () => {
    const record: ActivationRecord = {
      target: v2,
      step: 'load',
      state: 'running',
      attempt: 1,
      interruptions: INTERRUPTIONS_MAX,
    };
    const step = plan(input({ ...running1, desired: desiredState(2, [v2]), records: [record] }));
    expect(step).toMatchObject({ kind: 'give-up', reason: 'the agent died 3 times in step load' });
  });
});

/** What a device keeps and loses, without disk or engine: each planned step is performed, fails, or is cut off. */
class Simulated {
  desired = desiredState(0, []);
  active = new Map<string, ActiveVersion>();
  records: ActivationRecord[] = [];
  loaded = new Map<string, Digest>();
  prepared = new Set<Digest>();
  held = new Set<Digest>();
  /** Attempts begun per activation. */
  readonly begun = new Map<string, Set<number>>();
  readonly bad: ReadonlySet<Digest>;

  constructor(bad: ReadonlySet<Digest>) {
    this.bad = bad;
  }

  next(): SyncStep {
    const probation = new Map<string, { kind: 'passed' } | { kind: 'failed'; reason: string }>();
    for (const [model, { committed, running }] of this.active) {
      if (committed || this.loaded.get(model) !== running.variantDigest) continue;
      probation.set(
        model,
        this.bad.has(running.variantDigest) ? { kind: 'failed', reason: 'bad' } : { kind: 'passed' },
      );
    }
    return plan(
      input({
        desired: this.desired,
        active: this.active,
        records: this.records,
        loaded: this.loaded,
        prepared: this.prepared,
        probation,
        held: [...this.held],
      }),
    );
  }

  /** Power cut: executors go, files stay; a step that may have killed the agent counts. */
  crash(): void {
    this.loaded.clear();
    this.prepared.clear();
    this.records = this.records.map((record) =>
      record.state === 'running' && ['load', 'warm-up', 'self-test', 'switch', 'probation'].includes(record.step)
        ? { ...record, interruptions: record.interruptions + 1 }
        : record,
    );
  }

  #save(record: ActivationRecord): void {
    this.records = [...this.records.filter((other) => !sameActivation(other.target, record.target)), record];
  }

  perform(step: SyncStep): void {
    switch (step.kind) {
      case 'wait':
        return;
      case 'start':
        this.loaded.set(step.model, step.target.variantDigest);
        return;
      case 'commit': {
        const before = this.active.get(step.model) as ActiveVersion;
        this.active.set(step.model, { ...before, committed: true });
        this.records = this.records.filter((record) => record.target.variantDigest !== before.running.variantDigest);
        return;
      }
      case 'roll-back': {
        const { running, previous } = this.active.get(step.model) as ActiveVersion;
        const record = this.records.findLast((entry) => sameActivation(entry.target, running)) as ActivationRecord;
        if (record !== undefined) {
          this.#save(
            step.superseded ? { ...record, state: 'superseded' } : failedRecord(record, 'rolled-back', step.reason),
          );
        }
        if (previous === undefined) {
          this.active.delete(step.model);
          this.loaded.delete(step.model);
        } else {
          this.active.set(step.model, active(previous));
          this.loaded.set(step.model, previous.variantDigest);
        }
        return;
      }
      case 'remove':
        this.active.delete(step.model);
        this.loaded.delete(step.model);
        return;
      case 'abandon':
        this.prepared.delete(step.record.target.variantDigest);
        this.#save({ ...step.record, state: 'superseded' });
        return;
      case 'give-up':
        this.#save({ ...step.record, state: 'needs-attention' });
        return;
      case 'collect':
        for (const digest of step.digests) this.held.delete(digest);
        return;
      default:
        this.#forward(step);
    }
  }

  #forward(step: Extract<SyncStep, { attempt: number }>): void {
    const { target, kind, attempt, interruptions } = step;
    const record: ActivationRecord = { target, step: kind, state: 'running', attempt, interruptions };
    const key = `${target.variantDigest} ${target.rolloutId ?? ''}`;
    this.begun.set(key, (this.begun.get(key) ?? new Set()).add(attempt));
    if (kind === 'self-test' && this.bad.has(target.variantDigest) && target.version % 2 === 0) {
      this.prepared.delete(target.variantDigest);
      this.#save(failedRecord(record, 'failed', 'goldens'));
      return;
    }
    if (kind === 'switch') {
      const before = this.active.get(target.name);
      const previous = before?.committed === false ? (before.previous ?? before.running) : before?.running;
      this.active.set(target.name, active(target, { committed: false, ...(previous && { previous }) }));
      this.loaded.set(target.name, target.variantDigest);
      this.prepared.delete(target.variantDigest);
      this.#save({ ...record, step: 'probation' });
      return;
    }
    if (kind === 'download') this.held.add(target.variantDigest);
    if (kind === 'load') this.prepared.add(target.variantDigest);
    const after = {
      download: 'verify',
      verify: 'load',
      load: 'warm-up',
      'warm-up': 'self-test',
      'self-test': 'switch',
    } as const;
    this.#save({ ...record, step: after[kind] });
  }
}

describe('any course of wishes, failures and power cuts', () => {
  const wish = fc.uniqueArray(
    fc.record({ name: fc.constantFrom('digits', 'lines', 'faces'), version: fc.integer({ min: 1, max: 4 }) }),
    { selector: ({ name }) => name, maxLength: 3 },
  );
  const course = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.constant('step' as const) },
      { weight: 1, arbitrary: fc.constant('crash' as const) },
      { weight: 2, arbitrary: wish },
    ),
    { maxLength: 60 },
  );
  const badVersions = fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 2 });

  it('keeps the old version or the new one, tries twice at most, and comes to rest where it should', () => {
    fc.assert(
      fc.property(course, badVersions, (events, bad) => {
        const badDigests = bad.flatMap((version) =>
          ['digits', 'lines', 'faces'].map((name) => target(name, version).variantDigest),
        );
        const device = new Simulated(new Set(badDigests));
        for (const event of events) {
          if (event === 'crash') device.crash();
          else if (event === 'step') oneStep(device);
          else
            device.desired = desiredState(
              device.desired.version + 1,
              event.map(({ name, version }) => target(name, version)),
            );
        }
        let steps = 0;
        while (device.next().kind !== 'wait') {
          oneStep(device);
          steps += 1;
          expect(steps).toBeLessThan(120);
        }
        for (const want of device.desired.models) {
          const runs = device.active.get(want.name);
          const record = device.records.findLast((entry) => sameActivation(entry.target, want));
          const settled = runs?.running.variantDigest === want.variantDigest && runs.committed;
          expect(settled || record?.state === 'needs-attention').toBe(true);
          if (!device.bad.has(want.variantDigest) && (record?.interruptions ?? 0) < INTERRUPTIONS_MAX) {
            expect(record?.state === 'needs-attention' && record.error === undefined).toBe(false);
          }
        }
        expect(
          [...device.active.keys()].every((name) => device.desired.models.some((want) => want.name === name)),
        ).toBe(true);
        for (const attempts of device.begun.values()) expect(Math.max(...attempts)).toBeLessThanOrEqual(ATTEMPTS_MAX);
      }),
      { numRuns: 500 },
    );
  });

  function oneStep(device: Simulated): void {
    const before = new Map(device.loaded);
    const step = device.next();
    device.perform(step);
    for (const [model, digest] of before) {
      const gone = !device.loaded.has(model);
      // Never neither: a model goes out of service only by wish, or as a first version that was bad.
      if (gone) expect(step.kind === 'remove' || step.kind === 'roll-back').toBe(true);
      if (device.loaded.get(model) !== digest && !gone) expect(['switch', 'roll-back', 'start']).toContain(step.kind);
    }
    for (const [model, { running }] of device.active) {
      // What is active was downloaded and not collected.
      expect(device.held.has(running.variantDigest), `${model} ${running.version}`).toBe(true);
    }
  }
});
