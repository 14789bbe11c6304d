// Is it our hub? A policy without input or output. The hub's CA is pinned at enrolment, and it certifies servers for the hub's own
// ports only; so a server certificate of that CA, whose key the TLS handshake proves, is the hub, under whatever name or
// address it is reached.
//
// Validity in time must not shut a device with a wrong clock out for ever (field lessons B1, B3): the wall clock is only
// reported. What counts is trusted time's floor, the earliest that it can be now: a certificate that ended before it has
// certainly ended.
import { createHash, type X509Certificate } from 'node:crypto';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/** What the device knows of its hub: the CA itself, or, before enrolment, only its fingerprint (SHA-256 of the DER, hex). */
export type PinnedCa = { readonly certificate: X509Certificate } | { readonly fingerprint: string };

type HubVerdict =
  | { readonly ok: true; readonly ca: X509Certificate; readonly clock: 'plausible' | 'behind' | 'ahead' }
  | { readonly ok: false; readonly code: 'foreign-hub' | 'clock'; readonly message: string };

export interface HubPresented {
  /** The server's own certificate; undefined where it sent none. */
  readonly leaf: X509Certificate | undefined;
  /** What it sent along. */
  readonly chain: readonly X509Certificate[];
}

export function judgeHub(
  presented: HubPresented,
  pinned: PinnedCa,
  time: { readonly wallMs: number; readonly floorMs: number },
): HubVerdict {
  const { leaf, chain } = presented;
  const ca =
    'certificate' in pinned ? pinned.certificate : chain.find((one) => fingerprintOf(one) === pinned.fingerprint);
  if (ca === undefined || leaf === undefined) {
    return { ok: false, code: 'foreign-hub', message: 'the server did not show the CA that the token names' };
  }
  // `keyUsage` is Node's name for the extended key usage.
  if (!leaf.checkIssued(ca) || !leaf.verify(ca.publicKey) || leaf.keyUsage?.includes(SERVER_AUTH) !== true) {
    return { ok: false, code: 'foreign-hub', message: "the server's certificate is not of this device's hub" };
  }
  if (Date.parse(leaf.validTo) < time.floorMs) {
    const now = new Date(time.floorMs).toISOString();
    return { ok: false, code: 'clock', message: `the hub's certificate ended ${leaf.validTo}; it is ${now} at least` };
  }
  const clock =
    time.wallMs < Date.parse(leaf.validFrom)
      ? 'behind'
      : time.wallMs > Date.parse(leaf.validTo)
        ? 'ahead'
        : 'plausible';
  return { ok: true, ca, clock };
}

/** SHA-256 of the DER, lower-case hexadecimal. */
export function fingerprintOf(certificate: X509Certificate): string {
  return createHash('sha256').update(certificate.raw).digest('hex');
}
