import { expect, it } from 'vitest';
import { prettyLine } from '@tidegate/edge-agent/config/open-log.js';

it('shows a line for people', () => {
  const line = JSON.stringify({ level: 40, time: 3_723_004, pid: 1, model: 'm', n: 2, msg: 'slow' });
  expect(prettyLine(line)).toBe('01:02:03.004 warn  slow model=m n=2\n');
});

it('shows what is no JSON as it came', () => {
  expect(prettyLine('oops\n')).toBe('oops\n');
});
