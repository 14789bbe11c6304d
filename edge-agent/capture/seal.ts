// Samples at rest: AES-256-GCM with a random nonce for each file and the sample's id as additional data, so that a file neither
// reads nor passes for another. The key lies beside them in a file of this user's own (0600): it keeps samples from who gets the
// folder, a backup of it or a discarded file, not from who can read all that the agent can.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';

const CIPHER = 'aes-256-gcm';
const FORMAT = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + NONCE_BYTES;

/** Bytes that sealing adds. */
export const SEAL_BYTES = HEADER_BYTES + TAG_BYTES;

/** Makes the key on first use. A damaged one is replaced: what it sealed is lost, and says so when it is read. Rejects on I/O errors. */
export async function openSealKey(path: string, { files, log }: { files: Files; log: Log }): Promise<Uint8Array> {
  if ((await files.sizeBytes('capture.key', path)) !== undefined) {
    const found = await files.read('capture.key', path);
    if (found.byteLength === KEY_BYTES) return found;
    log.error({ path }, 'the key of captured samples is damaged and replaced: those that it sealed are lost');
  }
  const key = randomBytes(KEY_BYTES);
  await files.writeAtomic('capture.key', path, key, 0o600);
  return key;
}

/** One byte of format, nonce, ciphertext, tag. */
export function seal(key: Uint8Array, id: Digest, body: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(id));
  const sealed = [cipher.update(body), cipher.final()];
  return Buffer.concat([Buffer.of(FORMAT), nonce, ...sealed, cipher.getAuthTag()]);
}

/** Undefined for what this key did not seal as this id. */
export function unseal(key: Uint8Array, id: Digest, file: Uint8Array): Uint8Array | undefined {
  if (file.byteLength < SEAL_BYTES || file[0] !== FORMAT) return undefined;
  const decipher = createDecipheriv(CIPHER, key, file.subarray(1, HEADER_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(id)).setAuthTag(file.subarray(file.byteLength - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(file.subarray(HEADER_BYTES, file.byteLength - TAG_BYTES)), decipher.final()]);
  } catch {
    return undefined; // GCM says no more than that; the caller drops and counts it
  }
}
