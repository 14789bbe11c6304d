import { judgeEnd, type EndCircumstances, type ProcessEnd } from '@tidegate/cloud-hub/training/jobs/judge-end.js';
import { describe, expect, test } from 'vitest';

const judge = (end: Partial<ProcessEnd>, circumstances: Partial<EndCircumstances> = {}) =>
  judgeEnd(
    { code: null, signal: null, failure: undefined, stderr: '', ...end },
    {
      askedToLeave: false,
      overLimit: undefined,
      hasResult: false,
      deathsBefore: 0,
      gotFurther: false,
      ...circumstances,
    },
  );

test('done only with a result', () => {
  expect(judge({ code: 0 }, { hasResult: true })).toEqual({ kind: 'done' });
  expect(judge({ code: 0 }, { hasResult: true, askedToLeave: true })).toEqual({ kind: 'done' });
  expect(judge({ code: 0 })).toEqual({
    kind: 'again',
    deaths: 1,
    reason: 'its process ended (code 0, but without a result)',
  });
});

test('its last word fails the job at once', () => {
  expect(judge({ code: 1, failure: 'no label' })).toEqual({ kind: 'failed', reason: 'no label' });
});

describe('told to leave', () => {
  test.each([{ code: 75 }, { signal: 'SIGKILL' as const }, { signal: 'SIGTERM' as const }])(
    '%j: it left, and goes on later',
    (end) => expect(judge(end, { askedToLeave: true })).toEqual({ kind: 'left' }),
  );

  test('but not over its memory limit: then it has failed', () => {
    const circumstances = { askedToLeave: true, overLimit: 'too much' };
    expect(judge({ signal: 'SIGKILL' }, circumstances)).toEqual({ kind: 'failed', reason: 'too much' });
  });
});

test('leaving unasked counts as leaving while it gets further, else as a death', () => {
  expect(judge({ code: 75 }, { gotFurther: true })).toEqual({ kind: 'left' });
  expect(judge({ code: 75 })).toMatchObject({ kind: 'again', deaths: 1 });
});

describe('a death', () => {
  test('is forgiven three times at one place, and as often as it gets further', () => {
    expect(judge({ signal: 'SIGKILL' }, { deathsBefore: 2 })).toMatchObject({ kind: 'again', deaths: 3 });
    expect(judge({ signal: 'SIGKILL' }, { deathsBefore: 3 })).toEqual({
      kind: 'failed',
      reason: 'its process ended (signal SIGKILL), 4 times without getting further',
    });
    expect(judge({ signal: 'SIGKILL' }, { deathsBefore: 3, gotFurther: true })).toMatchObject({
      kind: 'again',
      deaths: 1,
    });
  });

  test('says what the process wrote last that tells something', () => {
    const stderr = 'file:///x.js:3\n\nTypeError: no such thing\n    at main (x.js:3)\n\nNode.js v20\n';
    expect(judge({ code: 1, stderr })).toMatchObject({
      reason: 'its process ended (code 1): TypeError: no such thing',
    });
  });
});
