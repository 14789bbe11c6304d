// What follows over several attempts is in reconciler.test.ts; here, what an error of a step is taken for.
import { describe, expect, it } from 'vitest';
import { ModelStoreError } from '@tidegate/edge-agent/model-store/model-store-error.js';
import type { ActivationRecord } from '@tidegate/edge-agent/state/activations.js';
import { StateError } from '@tidegate/edge-agent/state/state-error.js';
import { failedRecord, toSyncError } from '@tidegate/edge-agent/sync/step-failures.js';
import { SyncError } from '@tidegate/edge-agent/sync/sync-error.js';
import { FakePackageSource } from '../../support/fake-package-source.js';

const withCode = (code: string): Error => Object.assign(new Error('x'), { code });

describe('an error of a step', () => {
  it.each([
    ['a version that is damaged counts as an attempt', new ModelStoreError('damaged', 'x'), 'verify', 'damaged', false],
    ['a database that is full does not', new StateError('full', 'x'), 'switch', 'not-persisted', true],
    ['nor does a full disk', withCode('ENOSPC'), 'verify', 'no-space', true],
    ['nor a quota', withCode('EDQUOT'), 'load', 'no-space', true],
    ['nor anything that ends a download', new Error('x'), 'download', 'unreachable', true],
    ['an engine that refuses does', new Error('x'), 'load', 'load-failed', false],
    ['a self-test that throws does', 'x', 'self-test', 'self-test-failed', false],
  ])('%s', (_what, cause, step, code, transient) => {
    expect(toSyncError(cause, step)).toMatchObject({ code, transient, message: 'x' });
  });

  it('keeps what the step itself said', () => {
    const own = new SyncError('untrusted', 'not signed');
    expect(toSyncError(own, 'download')).toBe(own);
  });
});

describe('the record of a failed attempt', () => {
  const { model: target } = new FakePackageSource().publish('digits', 1, 'one');
  const record: ActivationRecord = { target, step: 'load', state: 'running', attempt: 1, interruptions: 1 };

  it('is tried once more, then a person is asked', () => {
    expect(failedRecord(record, 'failed', 'why')).toEqual({ ...record, state: 'failed', error: 'why' });
    expect(failedRecord({ ...record, attempt: 2 }, 'rolled-back', 'why')).toMatchObject({ state: 'needs-attention' });
  });

  it('holds as much of the reason as the hub takes', () => {
    expect(failedRecord(record, 'failed', 'x'.repeat(5000)).error).toHaveLength(2000);
  });
});
