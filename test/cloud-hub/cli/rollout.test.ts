import { rolloutRequest } from '@tidegate/cloud-hub/cli/rollout.js';
import { createRolloutSchema } from '@tidegate/shared/wire/admin-api.js';
import { expect, test } from 'vitest';

const parsed = (body: unknown) => createRolloutSchema.parse(JSON.parse(JSON.stringify(body)));

test('flags become the request; what isn’t said keeps the hub’s default', () => {
  const request = parsed(
    rolloutRequest('ocr-line@2', {
      group: 'shelf',
      waves: '10%,50%,100%',
      soak: '3s',
      minRequests: '60',
      maxP99Ratio: '4',
      maxErrorIncrease: '2%',
      silentAfter: '60s',
      probation: '2s',
    }),
  );
  expect(request).toMatchObject({
    model: 'ocr-line',
    version: '2',
    group: 'shelf',
    waves: [0.1, 0.5, 1],
    probationSeconds: 2,
    policy: { soakSeconds: 3, minRequests: 60, maxP99Ratio: 4, maxErrorRateIncrease: 0.02, silentAfterSeconds: 60 },
  });
  const defaults = parsed(rolloutRequest('ocr-line@v1', { group: 'shelf', waves: '100%' }));
  expect(defaults.policy).toEqual(parsed({ model: 'm', version: '1', group: 'g', waves: [1] }).policy);
});

test.each([
  ['ocr-line', { group: 'g', waves: '100%' }, /which version/],
  ['@2', { group: 'g', waves: '100%' }, /MODEL@VERSION/],
  ['m@2', { group: 'g', waves: 'all' }, /--waves/],
  ['m@2', { group: 'g', waves: '100%', maxP99Ratio: '0.5' }, /--max-p99-ratio/],
  ['m@2', { group: 'g', waves: '100%', soak: 'a while' }, /--soak/],
])('%s %j is wrong usage', (spec, options, message) => expect(() => rolloutRequest(spec, options)).toThrow(message));
