// Who this device is, as enrolment left it in `<data-dir>/identity/`:
//   key.pem         its private key, made here, readable by its owner only; it never leaves the device
//   identity.json   everything else in one document, written last and at once; so there is an identity, or there is none
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import type { Files } from '@tidegate/shared/system/files.js';
import { IdentityError } from './identity-error.js';

const identityDocumentSchema = z.strictObject({
  deviceId: z.string(),
  group: z.string(),
  /** Device certificate, then the CA. */
  certificatePem: z.string(),
  caPem: z.string(),
  deviceUrl: z.url(),
  mqttUrl: z.string(),
  /** root.json to start from, as it was at enrolment. */
  tufRoot: z.string(),
  /** The token that enrolled it, to tell a repeated enrolment from a second one. */
  tokenId: z.string(),
});
type IdentityDocument = z.infer<typeof identityDocumentSchema>;

export interface Identity extends IdentityDocument {
  readonly keyPem: string;
}

export function identityPaths(dataDir: string): { readonly key: string; readonly document: string } {
  return { key: join(dataDir, 'identity', 'key.pem'), document: join(dataDir, 'identity', 'identity.json') };
}

/** Rejects with IdentityError `not-enrolled`, or `damaged` naming the file. */
export async function loadIdentity(dataDir: string, files: Files): Promise<Identity> {
  const paths = identityPaths(dataDir);
  if ((await files.sizeBytes('identity.stat', paths.document)) === undefined) {
    throw new IdentityError('not-enrolled', `${dataDir} holds no identity; run: tidegate-agent enroll --token TOKEN`);
  }
  let document: IdentityDocument;
  let keyPem: string;
  try {
    const text = Buffer.from(await files.read('identity.read', paths.document)).toString('utf8');
    document = identityDocumentSchema.parse(JSON.parse(text));
    keyPem = Buffer.from(await files.read('identity.read', paths.key)).toString('utf8');
  } catch (cause) {
    throw new IdentityError('damaged', `${paths.document} or ${paths.key} can't be read; enrol again`, { cause });
  }
  if (!belongTogether(document.certificatePem, keyPem)) {
    throw new IdentityError(
      'damaged',
      `${paths.key} is not the key of the certificate in ${paths.document}; enrol again`,
    );
  }
  return { ...document, keyPem };
}

/** Replaces the document; the key stays. Rejects with IdentityError `storage`. */
export async function storeIdentity(dataDir: string, document: IdentityDocument, files: Files): Promise<void> {
  try {
    const text = JSON.stringify(identityDocumentSchema.parse(document));
    await files.writeAtomic('identity.write', identityPaths(dataDir).document, text, 0o600);
  } catch (cause) {
    throw new IdentityError('storage', `the identity could not be written: ${(cause as Error).message}`, { cause });
  }
}

function belongTogether(certificatePem: string, keyPem: string): boolean {
  try {
    return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem));
  } catch {
    return false; // one of them is no PEM
  }
}
