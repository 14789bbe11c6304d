import { describe, expect, it } from 'vitest';
import { stopAtBoundary } from '@tidegate/edge-agent/sync/stop-at-boundary.js';
import { silentLog } from '@tidegate/shared/system/log.js';

describe('stopping at a boundary', () => {
  it('needs both variables, and ends at that boundary only', () => {
    let ended = 0;
    const make = (environment: Record<string, string>) => stopAtBoundary(environment, silentLog, () => (ended += 1));
    expect(make({})).toBeUndefined();
    expect(make({ FAULT_STOP_AT: 'load:begin' })).toBeUndefined();
    const at = make({ FAULT_STOP_AT: 'load:begin', FAULTS_ALLOWED: 'yes' });
    at?.('load', 'end');
    at?.('verify', 'begin');
    expect(ended).toBe(0);
    at?.('load', 'begin');
    expect(ended).toBe(1);
  });
});
