import { prettyLine } from '@tidegate/shared/system/open-log.js';
import { expect, it } from 'vitest';

it('shows a line for people: time, level, message, fields', () => {
  const line = JSON.stringify({ level: 40, time: 3_723_004, pid: 1, model: 'm', n: 2, msg: 'slow' });
  expect(prettyLine(line)).toBe('01:02:03.004 warn  slow model=m n=2\n');
});

it('shows an error with its stack', () => {
  const line = JSON.stringify({ level: 50, msg: 'failed', err: { stack: 'Error: x\n  at y' } });
  expect(prettyLine(line)).toContain('failed\nError: x\n  at y');
});

it('shows what is no JSON as it came', () => {
  expect(prettyLine('oops\n')).toBe('oops\n');
});
