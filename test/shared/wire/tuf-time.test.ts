import { describe, expect, it } from 'vitest';
import { SIGNED_AT_FIELD, signedAtMs } from '@tidegate/shared/wire/tuf-time.js';

describe('signing time of a timestamp', () => {
  const document = (signed: object): Uint8Array => Buffer.from(JSON.stringify({ signatures: [], signed }));

  it('is read from the signed part only', () => {
    expect(signedAtMs(document({ [SIGNED_AT_FIELD]: '2026-11-24T08:00:00.000Z' }))).toBe(Date.UTC(2026, 10, 24, 8));
    expect(signedAtMs(Buffer.from(JSON.stringify({ [SIGNED_AT_FIELD]: '2026-11-24T08:00:00Z', signed: {} })))).toBe(
      undefined,
    );
  });

  it.each([undefined, 'soon', 5, null])('is unknown for %j', (value) => {
    expect(signedAtMs(document({ [SIGNED_AT_FIELD]: value }))).toBe(undefined);
  });
});
