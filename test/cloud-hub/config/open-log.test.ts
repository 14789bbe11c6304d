import { prettyLine } from '@tidegate/cloud-hub/config/open-log.js';
import { expect, test } from 'vitest';

test('a line for people has the time, the level, the message and its fields', () => {
  const line = { level: 40, time: Date.UTC(2026, 0, 1, 12, 3, 4, 5), pid: 1, msg: 'slow', model: 'ocr', ms: 12 };
  expect(prettyLine(JSON.stringify(line))).toBe('12:03:04.005 warn  slow model=ocr ms=12\n');
});

test('an error is shown with its stack', () => {
  expect(prettyLine(JSON.stringify({ level: 50, msg: 'failed', err: { stack: 'Error: x\n  at y' } }))).toContain(
    'failed\nError: x\n  at y',
  );
});
