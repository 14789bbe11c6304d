import { readPrivacy } from '@tidegate/cloud-hub/registry/version-privacy.js';
import { expect, test } from 'vitest';

test('rows of earlier hubs and of this one are read alike', () => {
  expect(readPrivacy('local')).toEqual({ fallback: 'local', capture: 'none', telemetry: 'figures', answers: 'none' });
  expect(readPrivacy('hub')).toEqual({ fallback: 'hub', capture: 'none', telemetry: 'figures', answers: 'none' });
  const policy = { fallback: 'hub', capture: 'hub', telemetry: 'none', answers: 'hub' };
  expect(readPrivacy(JSON.stringify(policy))).toEqual(policy);
  expect(() => readPrivacy('{"fallback":"cloud"}')).toThrow();
});
