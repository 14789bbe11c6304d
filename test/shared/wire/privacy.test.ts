import { expect, it } from 'vitest';
import { privacySchema } from '@tidegate/shared/wire/privacy.js';

it('captures nothing unless it is told to, and lets no input go that it keeps', () => {
  expect(privacySchema.parse({})).toEqual({ fallback: 'hub', capture: 'none', telemetry: 'figures', answers: 'none' });
  const contradiction = privacySchema.safeParse({ fallback: 'local', capture: 'hub' });
  const tells = privacySchema.safeParse({ fallback: 'local', answers: 'hub' });
  expect(tells.error?.issues[0]).toMatchObject({ path: ['answers'] });
  expect(contradiction.error?.issues[0]).toMatchObject({ path: ['capture'] });
});
