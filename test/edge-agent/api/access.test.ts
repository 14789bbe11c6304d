import { describe, expect, it } from 'vitest';
import { decideAccess } from '@tidegate/edge-agent/api/access.js';

const open = { apiToken: undefined, unixSocket: false };
const guarded = { apiToken: 'a-token-of-16-chars', unixSocket: false };

describe('decideAccess', () => {
  it('is open on this machine, to programs and pages of this machine', () => {
    expect(decideAccess({ headers: { host: '127.0.0.1:8000' } }, open).allowed).toBe(true);
    expect(decideAccess({ headers: { host: '[::1]:8000' } }, open).allowed).toBe(true);
    expect(decideAccess({ headers: { host: 'localhost', origin: 'http://localhost:3000' } }, open).allowed).toBe(true);
    expect(decideAccess({ headers: {} }, { ...guarded, unixSocket: true }).allowed).toBe(true);
  });

  it('refuses pages from elsewhere and names that were made to point here', () => {
    const page = { host: 'localhost:8000', origin: 'https://evil.example' };
    expect(decideAccess({ headers: page }, open)).toMatchObject({ allowed: false, status: 403 });
    expect(decideAccess({ headers: { host: 'evil.example:8000' } }, open)).toMatchObject({ status: 403 });
    expect(decideAccess({ headers: { host: 'localhost:8000', origin: 'null' } }, open)).toMatchObject({ status: 403 });
  });

  it('needs the token where there is one, and then no more', () => {
    const headers = { host: 'device.example', origin: 'https://app.example' };
    expect(decideAccess({ headers }, guarded)).toMatchObject({ allowed: false, status: 401 });
    for (const authorization of [
      'Bearer wrong-token-16-ch',
      'Bearer ',
      'Basic a-token-of-16-chars',
      'Bearer a-token-of-16-char',
    ]) {
      expect(decideAccess({ headers: { ...headers, authorization } }, guarded).allowed).toBe(false);
    }
    const authorization = 'Bearer a-token-of-16-chars';
    expect(decideAccess({ headers: { ...headers, authorization } }, guarded)).toEqual({ allowed: true });
  });
});
