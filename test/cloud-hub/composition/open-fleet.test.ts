import { hostname } from 'node:os';
import { certificateNames, deviceHost } from '@tidegate/cloud-hub/composition/open-fleet.js';
import { describe, expect, test } from 'vitest';

describe('what devices are told to reach the hub by', () => {
  test.each([
    [{ host: '10.0.0.7', publicHost: undefined }, '10.0.0.7'],
    [{ host: '0.0.0.0', publicHost: 'hub.example' }, 'hub.example'],
    [{ host: '0.0.0.0', publicHost: undefined }, hostname()],
    [{ host: '::1', publicHost: undefined }, '[::1]'],
    [{ host: '127.0.0.1', publicHost: '2001:db8::1' }, '[2001:db8::1]'],
  ])('%j: %s', (settings, name) => expect(deviceHost(settings)).toBe(name));

  test('is in the certificate, as is this machine itself', () => {
    expect(certificateNames({ host: '0.0.0.0', publicHost: 'hub.example' })).toEqual([
      'hub.example',
      hostname(),
      'localhost',
      '127.0.0.1',
      '::1',
    ]);
    expect(certificateNames({ host: '127.0.0.1', publicHost: undefined })).toEqual(['127.0.0.1', 'localhost', '::1']);
  });
});
