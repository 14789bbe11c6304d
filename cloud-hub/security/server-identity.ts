// The certificate of the hub's own ports while the hub runs: made at the start, and made anew long before it ends.
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { CertificateAuthority, ServerIdentity } from './certificate-authority.js';

/** Timers can't wait longer than 24.8 days. */
const RENEWAL_MS = 20 * 86_400_000;

/** As Node's TLS servers take it. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
}

export interface RenewingIdentity {
  tls(): TlsIdentity;
  onRenewed(listener: (tls: TlsIdentity) => void): void;
  close(): void;
}

/** Rejects with SecurityError `keys-missing`. A later renewal that fails is logged and tried again. */
export async function renewingServerIdentity(
  names: readonly string[],
  modules: { readonly ca: CertificateAuthority; readonly clock: Clock; readonly log: Log },
): Promise<RenewingIdentity> {
  const { ca, clock, log } = modules;
  let current = tlsOf(await ca.issueServer(names));
  let listener: (tls: TlsIdentity) => void = () => undefined;
  const renew = (): void => {
    ca.issueServer(names)
      .then((identity) => {
        current = tlsOf(identity);
        listener(current);
      })
      .catch((cause: unknown) => log.warn({ err: cause }, "the hub's own certificate could not be made anew yet"))
      .finally(() => {
        if (!closed) cancel = clock.after(RENEWAL_MS, renew);
      });
  };
  let closed = false;
  let cancel = clock.after(RENEWAL_MS, renew);
  return {
    tls: () => current,
    onRenewed: (callback) => {
      listener = callback;
    },
    close: () => {
      closed = true;
      cancel();
    },
  };
}

function tlsOf({ keyPem, chainPem, caPem }: ServerIdentity): TlsIdentity {
  return { key: keyPem, cert: chainPem, ca: caPem };
}
