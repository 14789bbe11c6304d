// Who is at the other end of a TLS connection. Node's own verdict doesn't tell an expired certificate from a foreign one (it keeps
// the last of several errors), and an expired one must still be able to renew itself (field lesson B3); so the ports take any
// certificate in the handshake, which proves that the peer holds its key, and ask here.
import type { X509Certificate } from 'node:crypto';
import type { CertificateAuthority } from './certificate-authority.js';

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

export type Peer =
  | { readonly kind: 'none' }
  /** Not signed by this hub's CA, or not for devices. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'expired'; readonly deviceId: string }
  | { readonly kind: 'device'; readonly deviceId: string };

export function peerOf(certificate: X509Certificate | undefined, ca: CertificateAuthority, nowMs: number): Peer {
  if (certificate === undefined) return { kind: 'none' };
  const deviceId = /^CN=([a-z0-9][a-z0-9-]{0,62})$/.exec(certificate.subject)?.[1];
  // `keyUsage` is Node's name for the extended key usage.
  if (deviceId === undefined || certificate.keyUsage?.includes(CLIENT_AUTH) !== true || !ca.issued(certificate)) {
    return { kind: 'foreign' };
  }
  return Date.parse(certificate.validTo) < nowMs ? { kind: 'expired', deviceId } : { kind: 'device', deviceId };
}
