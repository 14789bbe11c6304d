import { CliError } from '@tidegate/cloud-hub/cli/cli-error.js';
import { seconds, share, whole } from '@tidegate/cloud-hub/cli/durations.js';
import { expect, test } from 'vitest';

test.each([
  ['90', 90],
  ['90s', 90],
  ['1.5m', 90],
  ['12h', 43_200],
  ['7d', 604_800],
  ['0s', 0],
])('%s is %i seconds', (text, value) => expect(seconds(text, '--x')).toBe(value));

test.each([
  ['10%', 0.1],
  ['0.1', 0.1],
  ['100%', 1],
  [' 50% ', 0.5],
  ['0', 0],
])('%s is the share %f', (text, value) => expect(share(text, '--x')).toBeCloseTo(value));

test('what is none is wrong usage, naming the flag', () => {
  for (const read of [
    () => seconds('soon', '--soak'),
    () => seconds('-1s', '--soak'),
    () => share('150%', '--soak'),
    () => share('half', '--soak'),
    () => whole('1.5', '--soak'),
    () => whole('', '--soak'),
  ]) {
    expect(read).toThrow(CliError);
    expect(read).toThrow(/--soak/);
  }
  expect(whole('12', '--x')).toBe(12);
});
