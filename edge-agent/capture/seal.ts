// Samples at rest: AES-256-GCM with a random nonce for each file and the sample's id as additional data, so that a file neither
// reads nor passes for another. The key lies beside them in a file of this user's own (0600): it keeps samples from who gets the
// folder, a backup of it or a discarded file, not from who can read all that the agent can. Computed on other threads than the
// main one: of a picture of some megabytes it takes 10 ms, which no request has to wait for.
import { randomBytes, webcrypto } from 'node:crypto';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';

const CIPHER = 'AES-GCM';
const FORMAT = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + NONCE_BYTES;

/** Bytes that sealing adds. */
export const SEAL_BYTES = HEADER_BYTES + TAG_BYTES;

export class Seal {
  readonly #key: webcrypto.CryptoKey;

  private constructor(key: webcrypto.CryptoKey) {
    this.#key = key;
  }

  /** Makes the key on first use. A damaged one is replaced: what it sealed is lost, and says so when it is read. Rejects on I/O errors. */
  static async open(path: string, modules: { files: Files; log: Log }): Promise<Seal> {
    const bytes = await readKey(path, modules);
    return new Seal(await webcrypto.subtle.importKey('raw', bytes, CIPHER, false, ['encrypt', 'decrypt']));
  }

  /** One byte of format, nonce, ciphertext, tag. */
  async seal(id: Digest, body: Uint8Array): Promise<Uint8Array> {
    const nonce = randomBytes(NONCE_BYTES);
    const sealed = await webcrypto.subtle.encrypt(parameters(id, nonce), this.#key, body);
    return Buffer.concat([Buffer.of(FORMAT), nonce, new Uint8Array(sealed)]);
  }

  /** Undefined for what this key did not seal as this id. */
  async unseal(id: Digest, file: Uint8Array): Promise<Uint8Array | undefined> {
    if (file.byteLength < SEAL_BYTES || file[0] !== FORMAT) return undefined;
    const nonce = file.subarray(1, HEADER_BYTES);
    try {
      const sealed = file.subarray(HEADER_BYTES);
      return new Uint8Array(await webcrypto.subtle.decrypt(parameters(id, nonce), this.#key, sealed));
    } catch {
      return undefined; // GCM says no more than that; the caller drops and counts it
    }
  }
}

function parameters(id: Digest, nonce: Uint8Array): webcrypto.AesGcmParams {
  return { name: CIPHER, iv: nonce, additionalData: Buffer.from(id), tagLength: 8 * TAG_BYTES };
}

async function readKey(path: string, { files, log }: { files: Files; log: Log }): Promise<Uint8Array> {
  if ((await files.sizeBytes('capture.key', path)) !== undefined) {
    const found = await files.read('capture.key', path);
    if (found.byteLength === KEY_BYTES) return found;
    log.error({ path }, 'the key of captured samples is damaged and replaced: those that it sealed are lost');
  }
  const key = randomBytes(KEY_BYTES);
  await files.writeAtomic('capture.key', path, key, 0o600);
  return key;
}
