// Who may call (contract.md): on loopback and the unix socket anybody on this machine; over any other address whoever has
// the token. A browser on this machine is not the machine's user: a page from elsewhere (Origin) or a name that was made to
// point here (Host, DNS rebinding) is refused unless it carries the token.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isLoopback } from '../config/read-settings.js';

interface AccessPolicy {
  readonly apiToken: string | undefined;
  /** The request came over the unix socket: the file's mode has decided. */
  readonly unixSocket: boolean;
}

type AccessDecision =
  { readonly allowed: true } | { readonly allowed: false; readonly status: 401 | 403; readonly error: string };

export function decideAccess(request: Pick<IncomingMessage, 'headers'>, policy: AccessPolicy): AccessDecision {
  if (policy.unixSocket) return { allowed: true };
  const { authorization, origin, host } = request.headers;
  if (policy.apiToken !== undefined) {
    const given = /^Bearer +(.+)$/i.exec(authorization ?? '')?.[1];
    if (given !== undefined && equal(given, policy.apiToken)) return { allowed: true };
    return { allowed: false, status: 401, error: 'a bearer token is needed (header authorization)' };
  }
  if (origin !== undefined && !isLoopback(hostOf(origin.replace(/^[a-z]+:\/\//i, '')))) {
    return { allowed: false, status: 403, error: 'header origin: pages from elsewhere may not call without a token' };
  }
  if (host !== undefined && !isLoopback(hostOf(host))) {
    return {
      allowed: false,
      status: 403,
      error: 'header host: this agent answers as localhost only, unless it has a token',
    };
  }
  return { allowed: true };
}

/** `localhost:8000` -> `localhost`, `[::1]:8000` -> `[::1]`. */
function hostOf(authority: string): string {
  return authority.replace(/:[0-9]*$/, '').toLowerCase();
}

/** Compares digests, so that neither content nor length shows in the time. */
function equal(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
