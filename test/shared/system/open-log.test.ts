import { spawnSync } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { openLog, prettyLine } from '@tidegate/shared/system/open-log.js';
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

/** Logs, does something else, logs again. */
const PROGRAM = (format: string) => `
  import { openLog } from '@tidegate/shared/system/open-log.js';
  const log = openLog({ logLevel: 'info', logFormat: '${format}' }, process.stderr);
  for (let i = 0; i < 100; i += 1) log.info({ i }, 'first'.repeat(1000));
  await new Promise((resolve) => setTimeout(resolve, 50));
  log.info({}, 'last');
  process.stdout.write('went on');
`;

const hasFullDevice = existsSync('/dev/full');
if (!hasFullDevice) console.warn('SKIPPED: the log on a full disk, this system has no /dev/full (Linux has it)');

it.skipIf(!hasFullDevice && process.env['CI'] === undefined).each(['json', 'pretty'])(
  'a full disk under the %s log ends nothing',
  (format) => {
    const args = ['--input-type=module', '-e', PROGRAM(format)];
    const ran = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', openSync('/dev/full', 'w')] });
    expect([ran.status, ran.stdout.toString()]).toEqual([0, 'went on']);
  },
);

it('limits what repeats, and lets its level be changed while it runs', () => {
  const written: string[] = [];
  const stderr = { isTTY: true, on: () => stderr, write: (text: string) => written.push(text) > 0 };
  const log = openLog({ logLevel: 'info', logFormat: 'pretty' }, stderr as unknown as NodeJS.WriteStream);
  for (let i = 0; i < 1000; i += 1) log.warn({ i }, 'again');
  expect(written.length).toBe(61);
  expect(written.at(-1)).toContain('held back');
  log.level = 'error';
  expect(log.level).toBe('error');
  log.info({}, 'not shown');
  expect(written.length).toBe(61);
});
