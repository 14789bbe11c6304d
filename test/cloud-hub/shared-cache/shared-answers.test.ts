import { describe, expect, it } from 'vitest';
import { SharedAnswers } from '@tidegate/cloud-hub/shared-cache/shared-answers.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import type { SharedOffer } from '@tidegate/shared/wire/shared-answer.js';
import { ManualClock } from '../../support/manual-clock.js';

const labels = (part: Partial<SharedOffer> = {}): SharedOffer => ({
  model: 'm',
  version: sha256('v'),
  variant: sha256('d'),
  tag: [],
  ...part,
});
const body = (text: string): Buffer => Buffer.from(text);
function setUp(options: { limitBytes?: number; witnesses?: number } = {}) {
  const clock = new ManualClock();
  const answers = new SharedAnswers({ limitBytes: 1e6, witnesses: 2, ...options }, { clock });
  const offer = (device: string, text = 'right', key = 'k', part: Partial<SharedOffer> = {}): string =>
    answers.offer(key, labels(part), body(text), device);
  const given = (key = 'k'): string | undefined => {
    const found = answers.get(key);
    return found && Buffer.from(found.body).toString();
  };
  return { clock, answers, offer, given };
}

describe('shared answers', () => {
  it('are given once two devices have said the very same, and not before', () => {
    const { answers, offer, given } = setUp();
    expect(offer('a')).toBe('waits');
    expect(offer('a')).toBe('waits'); // one device, one vote
    expect(given()).toBeUndefined();
    expect(offer('b')).toBe('given');
    expect(given()).toBe('right');
    expect(answers.counts).toMatchObject({ hits: 1, misses: 1, offers: 3, agreed: 1, entries: 1, waiting: 0 });
  });

  it('one compromised device poisons nobody, before and after the others agreed', () => {
    const { answers, offer, given } = setUp();
    for (let i = 0; i < 5; i += 1) offer('evil', 'wrong');
    expect(given()).toBeUndefined();
    offer('a');
    offer('b');
    expect(given()).toBe('right');
    offer('evil', 'wrong');
    expect(given()).toBe('right');
    expect(answers.counts.differing).toBe(1);
  });

  it('more votes win: two that conspired are outvoted by three', () => {
    const { offer, given } = setUp();
    for (const device of ['evil', 'twin']) offer(device, 'wrong');
    expect(given()).toBe('wrong');
    for (const device of ['a', 'b', 'c']) offer(device);
    expect(given()).toBe('right');
  });

  it('a device that was shut out takes its votes along, and what hung on them', () => {
    const { answers, offer, given } = setUp();
    for (const device of ['a', 'evil']) offer(device);
    for (const device of ['a', 'b', 'evil']) offer(device, 'right', 'k2');
    offer('evil', 'right', 'k3');
    expect(answers.forget('evil')).toBe(1);
    expect([given('k'), given('k2')]).toEqual([undefined, 'right']);
    offer('b', 'right', 'k3');
    expect(given('k3')).toBeUndefined();
  });

  it('tells the age since a device last computed it, whatever the wall clock says, and ends after a day', () => {
    const { clock, answers, offer } = setUp({ witnesses: 1 });
    offer('a');
    clock.advance(500);
    clock.setWall(0);
    expect(answers.get('k')?.ageMs).toBe(500);
    offer('b');
    expect(answers.get('k')?.ageMs).toBe(0);
    clock.advance(86_400_001);
    expect(answers.get('k')).toBeUndefined();
  });

  it('keeps within its bytes, and what is asked for outlives what is not', () => {
    const { answers, offer, given } = setUp({ witnesses: 1, limitBytes: 100_000 });
    for (let i = 0; i < 200; i += 1) {
      offer('a', 'x'.repeat(1000), `k${i}`);
      expect(given('k0')).toBeDefined();
      expect(answers.counts.sizeBytes).toBeLessThanOrEqual(100_000);
    }
    expect(given('k1')).toBeUndefined();
    expect(answers.counts.evictions).toBeGreaterThan(100);
  });

  it("a flood of questions that one device asks pushes out neither answers nor others' votes", () => {
    const { answers, offer, given } = setUp({ limitBytes: 100_000 });
    for (const device of ['a', 'b']) offer(device);
    offer('a', 'right', 'waits');
    for (let i = 0; i < 1000; i += 1) offer('evil', 'x', `flood${i}`);
    expect(answers.counts.waiting).toBeLessThanOrEqual(12);
    offer('b', 'right', 'waits');
    expect([given('k'), given('waits')]).toEqual(['right', 'right']);
  });

  it('are dropped by model, variant and tag', () => {
    const { answers, offer, given } = setUp({ witnesses: 1 });
    offer('a', '1', 'k1', { model: 'n' });
    offer('a', '2', 'k2', { variant: sha256('e') });
    offer('a', '3', 'k3', { tag: ['t'] });
    expect(answers.models()).toMatchObject([
      { model: 'm', entries: 2 },
      { model: 'n', entries: 1 },
    ]);
    expect(answers.drop({ model: 'm', tag: 't' })).toBe(1);
    expect(answers.drop({ variant: sha256('e') })).toBe(1);
    expect([given('k1'), given('k2'), given('k3')]).toEqual(['1', undefined, undefined]);
    expect(answers.drop({})).toBe(1);
    expect(answers.counts).toMatchObject({ entries: 0, sizeBytes: 0 });
  });
});
