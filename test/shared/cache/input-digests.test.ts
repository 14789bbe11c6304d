import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputDigests, sha256 } from '@tidegate/shared/cache/input-digests.js';

const picture = (fill: number, sizeBytes = 8192): Uint8Array => new Uint8Array(sizeBytes).fill(fill);
const plain = (data: Uint8Array): string => createHash('sha256').update(data).digest('base64url');

describe('sha256', () => {
  it('is SHA-256 of the bytes, of text as UTF-8', () => {
    expect(sha256(picture(3))).toBe(plain(picture(3)));
    expect(sha256('ä')).toBe(plain(Buffer.from('ä')));
  });
});

describe('InputDigests', () => {
  it('gives the digest of the bytes, however often and in whatever order they come', () => {
    const digests = new InputDigests({ limitBytes: 40_000 });
    /** Few different ones that often agree in what is sampled: a change of one byte anywhere. */
    const data = fc
      .record({
        size: fc.constantFrom(100, 4096, 5000, 8192),
        at: fc.constantFrom(0, 1, 77, 2048, 4000),
        byte: fc.nat(2),
      })
      .map(({ size, at, byte }) => picture(7, size).fill(byte, at, at + 1));
    fc.assert(
      fc.property(data, (one) => digests.of(one) === plain(one)),
      { numRuns: 2000 },
    );
    expect(digests.sizeBytes).toBeGreaterThan(0);
    expect(digests.sizeBytes).toBeLessThanOrEqual(40_000);
  });

  it('remembers what comes a second time, and nothing that comes once or is small', () => {
    const digests = new InputDigests({ limitBytes: 1e6 });
    for (let i = 0; i < 50; i++) digests.of(picture(i));
    for (let i = 0; i < 3; i++) digests.of(picture(1, 4095));
    expect(digests.sizeBytes).toBe(0);
    digests.of(picture(1));
    expect(digests.sizeBytes).toBe(8192);
    digests.of(picture(1));
    expect(digests.sizeBytes).toBe(8192);
  });

  it('compares what it remembers instead of hashing it', () => {
    const digests = new InputDigests({ limitBytes: 1e6 });
    const held = picture(1);
    digests.of(picture(1));
    const digest = digests.of(held);
    held[5] = 9; // nobody may do this; it shows that the bytes are compared with, and not hashed again
    expect(digests.of(Uint8Array.from(held))).toBe(digest);
  });

  it('counts the whole buffer that a view keeps alive', () => {
    const digests = new InputDigests({ limitBytes: 1e6 });
    const body = picture(1, 10_000);
    for (let i = 0; i < 2; i++) digests.of(body.subarray(100, 5100));
    expect(digests.sizeBytes).toBe(10_000);
  });

  it('holds nothing after a clear, and nothing with a limit of 0', () => {
    const digests = new InputDigests({ limitBytes: 1e6 });
    for (let i = 0; i < 2; i++) digests.of(picture(1));
    digests.clear();
    expect(digests.sizeBytes).toBe(0);
    digests.of(picture(1));
    expect(digests.sizeBytes).toBe(0);
    const none = new InputDigests({ limitBytes: 0 });
    for (let i = 0; i < 3; i++) expect(none.of(picture(1))).toBe(plain(picture(1)));
    expect(none.sizeBytes).toBe(0);
  });
});
