import { describe, expect, it } from 'vitest';
import { hubWaitMs, observeHub, UNMEASURED_HUB } from '@tidegate/edge-agent/router/hub-wait.js';

describe('hubWaitMs', () => {
  it('never waits past the deadline, with a reserve for the answer', () => {
    expect(hubWaitMs(UNMEASURED_HUB, 100)).toBe(80);
    expect(hubWaitMs(UNMEASURED_HUB, 10)).toBeLessThanOrEqual(0);
  });

  it('follows what the hub usually takes', () => {
    let times = UNMEASURED_HUB;
    for (let i = 0; i < 100; i += 1) times = observeHub(times, 100);
    const waitMs = hubWaitMs(times, 30_000);
    expect(waitMs).toBeGreaterThanOrEqual(300);
    expect(waitMs).toBeLessThan(320);
  });

  it('has bounds before anything is measured, and for a very fast hub', () => {
    expect(hubWaitMs(UNMEASURED_HUB, 30_000)).toBe(2000);
    expect(hubWaitMs({ meanMs: 1, deviationMs: 0 }, 30_000)).toBe(200);
  });
});
