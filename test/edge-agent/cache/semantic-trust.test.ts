import { describe, expect, it } from 'vitest';
import { SemanticTrust } from '@tidegate/edge-agent/cache/semantic-trust.js';

describe('SemanticTrust', () => {
  it('audits the stated share of hits, the first among them', () => {
    const trust = new SemanticTrust({ audit: 0.05, maxDisagreement: 0.05 });
    const audited = Array.from({ length: 1000 }, () => trust.audits());
    expect(audited[0]).toBe(true);
    expect(audited.filter(Boolean).length).toBeGreaterThanOrEqual(50);
    expect(audited.filter(Boolean).length).toBeLessThanOrEqual(51);
  });

  it('ends where more disagree than allowed, after enough of them, and stays so', () => {
    const trust = new SemanticTrust({ audit: 1, maxDisagreement: 0.1 });
    for (let i = 0; i < 19; i += 1) expect(trust.audited(false)).toBe(false); // too few to say
    expect(trust.audited(true)).toBe(true);
    expect(trust.isOff).toBe(true);
    for (let i = 0; i < 500; i += 1) trust.audited(true);
    expect([trust.isOff, trust.counts.disagreements]).toEqual([true, 19]);
  });

  it('stays on at the bound, and judges by the audits of late', () => {
    const trust = new SemanticTrust({ audit: 1, maxDisagreement: 0.1 });
    for (let i = 0; i < 180; i += 1) trust.audited(true);
    for (let i = 0; i < 20; i += 1) expect(trust.audited(false)).toBe(false);
    expect(trust.rate).toBeCloseTo(0.1);
    trust.audited(false); // the window has moved on: 21 of 200
    expect(trust.isOff).toBe(true);
  });
});
