// A device as an operator reads it.
import { expect, test } from 'vitest';
import type { Device } from '@tidegate/shared/wire/admin-api.js';
import { deviceText } from '@tidegate/cloud-hub/cli/device.js';

const device: Device = {
  ...{ id: 'device-1', name: 'cam', group: 'shop', online: true, revoked: false, models: [], desiredVersion: 3 },
  enrolledAt: '2026-11-26T16:00:00.000Z',
};

test('a device that said nothing yet', () => {
  expect(deviceText(device, [])).toBe(
    'device-1 (cam), group shop, online\n' +
      'enrolled 2026-11-26T16:00:00.000Z, last seen never, agent unknown\n' +
      'class unknown\n' +
      'desired state 3, acted on none yet\n',
  );
});

test('what it told of late: a model in quarantine is among it', () => {
  const atMs = Date.UTC(2026, 10, 26, 16, 36, 14);
  const lines = deviceText(device, [{ atMs, kind: 'quarantined', detail: 'digits: its executors ended too often' }])
    .split('\n')
    .slice(4, -1);
  expect(lines.map((line) => line.trimEnd())).toEqual([
    '',
    'AT                        EVENT        DETAIL',
    '2026-11-26T16:36:14.000Z  quarantined  digits: its executors ended too often',
  ]);
});
