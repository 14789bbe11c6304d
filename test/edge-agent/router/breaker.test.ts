import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  afterCall,
  CLOSED_BREAKER,
  tryCall,
  type BreakerState,
  type CallOutcome,
} from '@tidegate/edge-agent/router/breaker.js';

const options = { failuresMax: 3, probeIntervalMs: 1000 };
const after = (state: BreakerState, outcomes: CallOutcome[], nowMs = 0): BreakerState =>
  outcomes.reduce((current, outcome) => afterCall(current, options, outcome, nowMs), state);

describe('the breaker', () => {
  it('opens after failures in a row, and counts a timeout double', () => {
    expect(after(CLOSED_BREAKER, ['failure', 'failure']).phase).toBe('closed');
    expect(after(CLOSED_BREAKER, ['failure', 'failure', 'failure']).phase).toBe('open');
    expect(after(CLOSED_BREAKER, ['timeout', 'failure']).phase).toBe('open');
    expect(after(CLOSED_BREAKER, ['failure', 'failure', 'success', 'failure', 'failure']).phase).toBe('closed');
  });

  it('closes after a probe that succeeds, stays open after one that fails', () => {
    const open = after(CLOSED_BREAKER, ['timeout', 'timeout'], 0);
    expect(tryCall(open, options, 999).allowed).toBe(false);
    const probe = tryCall(open, options, 1000);
    expect(probe).toMatchObject({ allowed: true, probe: true });
    expect(tryCall(probe.state, options, 1001).allowed).toBe(false);
    expect(afterCall(probe.state, options, 'timeout', 1500).phase).toBe('open');
    expect(afterCall(probe.state, options, 'success', 1500)).toMatchObject({ phase: 'closed', failures: 0 });
  });

  it('lets at most one probe out per interval, whatever is asked and however calls end', () => {
    const event = fc.record({
      gapMs: fc.integer({ min: 0, max: 400 }),
      outcome: fc.constantFrom<CallOutcome>('failure', 'timeout'),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 200 }), (events) => {
        let state = after(CLOSED_BREAKER, ['timeout', 'timeout'], 0);
        let nowMs = 0;
        let lastProbeMs = -Infinity;
        for (const { gapMs, outcome } of events) {
          nowMs += gapMs;
          const attempt = tryCall(state, options, nowMs);
          state = attempt.state;
          if (!attempt.allowed) continue;
          expect(attempt.probe).toBe(true);
          expect(nowMs - lastProbeMs).toBeGreaterThanOrEqual(options.probeIntervalMs);
          lastProbeMs = nowMs;
          state = afterCall(state, options, outcome, nowMs);
        }
      }),
    );
  });
});
