import { countProgress, tableText } from '@tidegate/cloud-hub/cli/output.js';
import { expect, test } from 'vitest';
import { recordedStreams } from '../../support/silent-streams.js';

test('a bar of things that are counted is drawn on a terminal, and nowhere else', () => {
  const drawn = (isTTY: boolean): string => {
    const streams = recordedStreams();
    const terminal = Object.assign(streams.stderr, { isTTY, columns: 80 });
    const progress = countProgress({ ...streams, stderr: terminal }, 'sending', 20);
    progress.advance(20);
    progress.stop();
    return streams.err();
  };
  expect(drawn(false)).toBe('');
  expect(drawn(true)).toContain('sending [');
  expect(drawn(true)).toContain('20/20');
});

test('a table is plain columns', () => {
  expect(tableText(['NAME', 'N'], [['a', 1], ['long', undefined]])).toBe('NAME  N\na     1\nlong\n'); // prettier-ignore
});
