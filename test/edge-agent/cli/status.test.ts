import { statusText, type Status } from '@tidegate/edge-agent/cli/status.js';
import { describe, expect, test } from 'vitest';

const quiet: Status = {
  version: '0.1.0',
  mode: 'run',
  state: 'serving',
  uptimeMs: 90_000,
  residentBytes: 100 * 2 ** 20,
  models: [],
  hub: null,
};

describe('what status says', () => {
  test('of an agent without models or hub', () => {
    expect(statusText(quiet)).toBe('serving (run, version 0.1.0), up 1.5 min, 100 MiB\nno models\n');
  });

  test('of captures: what was sent, what waits, and what was lost and why', () => {
    const captures = { sent: 3, waiting: { count: 2, bytes: 4096 }, dropped: { rate: 14, limit: 1 } };
    expect(statusText({ ...quiet, captures })).toContain(
      'captures: 3 sent, 2 waiting for the hub (4 KiB), 14 dropped: rate, 1 dropped: limit\n',
    );
  });
});
