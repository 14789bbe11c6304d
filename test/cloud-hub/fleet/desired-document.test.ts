import { describe, expect, it } from 'vitest';
import { effectiveTargets, nextDesired } from '@tidegate/cloud-hub/fleet/desired-document.js';

const config = { telemetryIntervalMs: 1000 };

describe('the desired document', () => {
  it('lets a rollout’s assignment go before the group’s target, sorted by name', () => {
    const targets = effectiveTargets(
      [
        { model: 'ocr', version: 1, probationMs: 5 },
        { model: 'digits', version: 1, probationMs: 5 },
      ],
      [{ model: 'digits', version: 2, probationMs: 9, rolloutId: 'r' }],
    );
    expect(targets.map((t) => `${t.model}@${t.version}`)).toEqual(['digits@2', 'ocr@1']);
    expect(targets[0]?.rolloutId).toBe('r');
  });

  it('makes a new version only where the content changed', () => {
    const current = { deviceId: 'd', version: 4, models: [], config };
    expect(nextDesired(current, [], config)).toBeUndefined();
    expect(nextDesired(current, [], { telemetryIntervalMs: 2000 })).toMatchObject({ version: 5, deviceId: 'd' });
  });
});
