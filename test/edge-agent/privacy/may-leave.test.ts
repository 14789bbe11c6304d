import { describe, expect, it } from 'vitest';
import { mayLeave } from '@tidegate/edge-agent/privacy/may-leave.js';
import { privacySchema, type Privacy } from '@tidegate/shared/wire/privacy.js';

const says = (part: Partial<Privacy>): Privacy => privacySchema.parse(part);
/** What is open to all kinds, and what to none. */
const OPEN = says({ fallback: 'hub', capture: 'hub', telemetry: 'figures', answers: 'hub' });
const CLOSED = says({ fallback: 'local', capture: 'none', telemetry: 'none' });

describe('what may leave a device', () => {
  it.each([
    ['fallback', 'hub', 'local', 'hub'],
    ['capture', 'hub', 'none', 'none'],
    ['telemetry', 'figures', 'none', 'figures'],
    ['answers', 'hub', 'none', 'none'],
  ] as const)('%s: the stricter of the served and the desired version counts', (kind, open, closed, unsaid) => {
    const rule = (word: string, whose: string): string => `privacy.${kind}: ${word} (${whose})`;
    const cases: [Privacy | undefined, Privacy | undefined, boolean, string][] = [
      [OPEN, undefined, true, rule(open, 'served version')],
      [OPEN, OPEN, true, rule(open, 'served and desired version')],
      [undefined, OPEN, true, rule(open, 'desired version')],
      [CLOSED, undefined, false, rule(closed, 'served version')],
      [CLOSED, CLOSED, false, rule(closed, 'served version')],
      [undefined, CLOSED, false, rule(closed, 'desired version')],
      [OPEN, CLOSED, false, rule(closed, 'desired version')], // being replaced by a stricter one
      [CLOSED, OPEN, false, rule(closed, 'served version')], // and by a looser one: not before it is there
      [undefined, undefined, unsaid === open, rule(unsaid, 'no version known')],
    ];
    for (const [served, desired, allowed, text] of cases) {
      expect(mayLeave(kind, { served, desired })).toEqual({ allowed, rule: text });
    }
  });

  it('keeps the kinds apart', () => {
    const served = says({ fallback: 'hub', capture: 'none', telemetry: 'none' });
    const allowed = (['fallback', 'capture', 'telemetry', 'answers'] as const).filter(
      (kind) => mayLeave(kind, { served, desired: OPEN }).allowed,
    );
    expect(allowed).toEqual(['fallback']);
  });

  it('takes a package that says nothing at its word: no capture', () => {
    expect(mayLeave('capture', { served: says({}), desired: says({}) }).allowed).toBe(false);
  });
});
