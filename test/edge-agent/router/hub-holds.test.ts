import { describe, expect, it } from 'vitest';
import { HubHolds, isBusy } from '@tidegate/edge-agent/router/hub-holds.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';

const asked = { model: 'digits' };
const full = (retryAfterMs?: number): ServingError =>
  new ServingError('queue-full', 'full', retryAfterMs === undefined ? {} : { retryAfterMs });

describe('HubHolds', () => {
  it("holds the model's requests until the time that the hub named, with its word and what is left", () => {
    const holds = new HubHolds();
    holds.note(asked, full(500), 100, 1000);
    expect(holds.refusal(asked, 9000, 1100)).toMatchObject({ code: 'queue-full', retryAfterMs: 400 });
    expect(holds.refusal({ model: 'other' }, 100, 1100)).toBeUndefined();
    expect(holds.refusal(asked, 100, 1500)).toBeUndefined();
  });

  it('holds for 30 s at most', () => {
    const holds = new HubHolds();
    holds.note(asked, full(86_400_000), 100, 0);
    expect(holds.refusal(asked, 100, 29_999)).toBeDefined();
    expect(holds.refusal(asked, 100, 30_000)).toBeUndefined();
  });

  it.each(['would-miss-deadline', 'not-ready'] as const)(
    'lets ask who has more time than the one refused: %s',
    (code) => {
      const holds = new HubHolds();
      holds.note(asked, new ServingError(code, 'late', { retryAfterMs: 500 }), 100, 0);
      expect(holds.refusal(asked, 100, 10)).toBeDefined();
      expect(holds.refusal(asked, 101, 10)).toBeUndefined();
    },
  );

  it('does not hold a sequence that goes on, but one that would begin', () => {
    const holds = new HubHolds();
    holds.note(asked, full(500), 100, 0);
    const sequence = { id: '1', start: false, end: false };
    expect(holds.refusal({ ...asked, sequence }, 100, 10)).toBeUndefined();
    expect(holds.refusal({ ...asked, sequence: { ...sequence, start: true } }, 100, 10)).toBeDefined();
  });

  it('remembers 256 models and no more', () => {
    const holds = new HubHolds();
    for (let i = 0; i <= 256; i += 1) holds.note({ model: String(i) }, full(500), 100, 0);
    expect(holds.refusal({ model: '0' }, 100, 10)).toBeUndefined();
    expect(holds.refusal({ model: '1' }, 100, 10)).toBeDefined();
  });
});

describe('isBusy', () => {
  it.each([
    [full(1), true],
    [full(), false],
    [new ServingError('not-ready', '', { retryAfterMs: 1 }), true],
    [new ServingError('failed', '', { retryAfterMs: 1 }), false],
    [new ServingError('hub-unavailable', '', { retryAfterMs: 1 }), false],
  ])('says of %o: %s', (error, busy) => expect(isBusy(error)).toBe(busy));
});
