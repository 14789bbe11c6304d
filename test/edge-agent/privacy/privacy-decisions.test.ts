import { describe, expect, it } from 'vitest';
import { PrivacyDecisions } from '@tidegate/edge-agent/privacy/privacy-decisions.js';
import { privacySchema, type Privacy } from '@tidegate/shared/wire/privacy.js';
import { recordedLog } from '../../support/recorded-log.js';

function setUp() {
  const served = new Map<string, Privacy>();
  const desired = new Map<string, Privacy>();
  const log = recordedLog();
  const modules = { served: (model: string) => served.get(model), desired: (model: string) => desired.get(model), log };
  const told = (level: 'debug' | 'info') =>
    log.lines.filter((line) => line.level === level).map(({ fields }) => fields['rule']);
  return { served, desired, log, told, decisions: new PrivacyDecisions(modules) };
}

const open = privacySchema.parse({ capture: 'hub' });
const closed = privacySchema.parse({ capture: 'none' });

describe('privacy decisions', () => {
  it('logs each at level debug, and at level info the first and each change', () => {
    const { served, desired, log, told, decisions } = setUp();
    served.set('digits', open);
    for (let i = 0; i < 100; i += 1) expect(decisions.ask('digits', 'capture').allowed).toBe(true);
    desired.set('digits', closed);
    for (let i = 0; i < 100; i += 1) expect(decisions.ask('digits', 'capture').allowed).toBe(false);
    decisions.ask('digits', 'telemetry');
    expect(told('debug')).toHaveLength(201);
    expect(told('info')).toEqual([
      'privacy.capture: hub (served version)',
      'privacy.capture: none (desired version)',
      'privacy.telemetry: figures (served and desired version)',
    ]);
    const [first] = log.lines.filter(({ level }) => level === 'info');
    expect(first?.fields).toMatchObject({ model: 'digits', kind: 'capture', allowed: true });
  });

  it('takes the version that answered for the served one', () => {
    const { served, decisions } = setUp();
    served.set('digits', open);
    expect(decisions.ask('digits', 'capture', closed)).toEqual({
      allowed: false,
      rule: 'privacy.capture: none (served version)',
    });
    expect(decisions.ask('digits', 'capture', open).allowed).toBe(true);
  });

  it('lets names that callers make up fill no log', () => {
    const { told, log, decisions } = setUp();
    for (let i = 0; i < 50; i += 1) decisions.ask(`made-up-${i}`, 'fallback');
    expect(told('info')).toEqual(['privacy.fallback: hub (no version known)']);
    expect(log.lines.find(({ level }) => level === 'info')?.fields).not.toHaveProperty('model');
    expect(told('debug')).toHaveLength(50);
  });
});
