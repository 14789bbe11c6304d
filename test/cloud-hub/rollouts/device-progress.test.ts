import { describe, expect, it } from 'vitest';
import { progressOf, type DeviceView } from '@tidegate/cloud-hub/rollouts/device-progress.js';
import type { ReportedModel, ReportedState } from '@tidegate/shared/wire/reported-state.js';

const NEW = `sha256:${'b'.repeat(64)}`;
const OLD = `sha256:${'a'.repeat(64)}`;
const target = { model: 'digits', versionDigest: NEW };

function view(models: ReportedModel[] | undefined, lastSeenAtMs: number | undefined = 900): DeviceView {
  const reported: ReportedState | undefined = models && {
    deviceId: 'd',
    seq: 1,
    bootId: 'b',
    desiredVersion: 1,
    agentVersion: '0.1.0',
    deviceClass: { architecture: 'x64', instructions: [], provider: 'cpu', cores: 2, memoryTierGiB: 4 },
    models,
  };
  return { id: 'd', reported, lastSeenAtMs, online: false, assignedAtMs: 0 };
}
const runs = (digest: string, committed = true): ReportedModel['running'] => ({
  version: 1,
  versionDigest: digest,
  variant: 'fp32',
  variantDigest: digest,
  provider: 'cpu',
  since: 0,
  committed,
});
const activates = (state: 'running' | 'failed' | 'rolled-back' | 'needs-attention', digest = NEW) =>
  ({ versionDigest: digest, variantDigest: digest, step: 'self-test', state, attempt: 1, error: 'why' }) as const;

describe('a device in a rollout', () => {
  const state = (models: ReportedModel[] | undefined, nowMs = 1000): string =>
    progressOf(view(models), target, 5000, nowMs).state;

  it('succeeds only with the running digest after probation (B13)', () => {
    expect(state([{ name: 'digits', running: runs(NEW, false) }])).toBe('activating');
    expect(state([{ name: 'digits', running: runs(NEW) }])).toBe('running');
    expect(state([{ name: 'digits', running: runs(OLD) }])).toBe('waiting');
    expect(state([{ name: 'other', running: runs(NEW) }])).toBe('waiting');
  });

  it('flips to rolled back when a later report says so', () => {
    expect(state([{ name: 'digits', running: runs(OLD), activation: activates('rolled-back') }])).toBe('rolled-back');
    expect(state([{ name: 'digits', running: runs(OLD), activation: activates('needs-attention') }])).toBe('failed');
    expect(state([{ name: 'digits', running: runs(OLD), activation: activates('rolled-back', OLD) }])).toBe('waiting');
  });

  it('is activating while a first attempt failed and the second is still to come', () => {
    expect(state([{ name: 'digits', running: runs(OLD), activation: activates('failed') }])).toBe('activating');
  });

  it('is silent when nothing was heard, whatever it ran last', () => {
    expect(state(undefined, 6000)).toBe('silent');
    expect(state([{ name: 'digits', running: runs(NEW) }], 6000)).toBe('silent');
    expect(state(undefined, 4000)).toBe('waiting');
  });

  it('is not silent while it is connected and runs the new version, however long nobody asks it', () => {
    const connected = (models: ReportedModel[]): string =>
      progressOf({ ...view(models), online: true }, target, 5000, 1e9).state;
    expect(connected([{ name: 'digits', running: runs(NEW) }])).toBe('running');
    expect(connected([{ name: 'digits', running: runs(NEW, false) }])).toBe('silent');
    expect(connected([{ name: 'digits', running: runs(OLD) }])).toBe('silent');
  });
});
