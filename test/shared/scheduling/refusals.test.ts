import { expect, it } from 'vitest';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';
import { cancelled, displaced, servingErrorOf } from '@tidegate/shared/scheduling/refusals.js';

it('tells a displaced caller when to come again', () => {
  expect(displaced(12.3)).toMatchObject({ code: 'would-miss-deadline', retryAfterMs: 13 });
  expect(cancelled()).toMatchObject({ code: 'cancelled' });
});

it("gives the runtime's errors the codes of serving, with their cause", () => {
  const codes = {
    'invalid-input': 'invalid-argument',
    closed: 'not-ready',
    quarantined: 'not-ready',
    cancelled: 'cancelled',
    'run-failed': 'failed',
  } as const;
  for (const [code, told] of Object.entries(codes)) {
    const cause = new RuntimeError(code as keyof typeof codes, 'why');
    expect(servingErrorOf(cause, 'once')).toMatchObject({ code: told, message: 'why', cause });
  }
  expect(servingErrorOf(new RuntimeError('executor-hung', 'too long'), 'twice').message).toContain('twice');
});
