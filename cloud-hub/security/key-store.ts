// The folder that holds the hub's private keys: the certificate authority's and those that sign the update metadata. It lies
// apart from the data, so that a backup doesn't carry it and an operator can take it away (decisions.md, Trust). Keys are read
// when they are needed and not kept; a hub without them serves what was signed and refuses to sign more.
//   ca.pem, ca.crt               certificate authority (P-256)
//   tuf-root.pem ... (4 roles)   update metadata (Ed25519)
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import { SecurityError } from './security-error.js';

export const TUF_ROLES = ['root', 'targets', 'snapshot', 'timestamp'] as const;
export type TufRole = (typeof TUF_ROLES)[number];
type KeyName = 'ca' | `tuf-${TufRole}`;

const KEY_MODE = 0o600;

export class KeyStore {
  readonly #folder: string;
  readonly #files: Files;

  constructor(folder: string, files: Files) {
    this.#folder = folder;
    this.#files = files;
  }

  /** Makes the keys that are not there yet; existing ones are never replaced. */
  async makeMissing(): Promise<void> {
    const names: KeyName[] = ['ca', ...TUF_ROLES.map((role) => `tuf-${role}` as const)];
    for (const name of names) {
      if ((await this.#files.sizeBytes('keys.stat', this.#path(name))) !== undefined) continue;
      const { privateKey } =
        name === 'ca' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
      const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
      await this.#files.writeAtomic('keys.write', this.#path(name), pem, KEY_MODE);
    }
  }

  /** Rejects with SecurityError `keys-missing` or `keys-damaged`. */
  async privateKey(name: KeyName): Promise<KeyObject> {
    const pem = await this.#read(`${name}.pem`);
    try {
      return createPrivateKey(Buffer.from(pem));
    } catch (cause) {
      throw new SecurityError('keys-damaged', `${this.#path(name)} is no private key`, { cause });
    }
  }

  /** A public file beside the keys (the CA's certificate); undefined where there is none. */
  async publicFile(name: string): Promise<string | undefined> {
    const path = join(this.#folder, name);
    if ((await this.#files.sizeBytes('keys.stat', path)) === undefined) return undefined;
    return Buffer.from(await this.#files.read('keys.read', path)).toString('utf8');
  }

  async writePublicFile(name: string, text: string): Promise<void> {
    await this.#files.writeAtomic('keys.write', join(this.#folder, name), text, 0o644);
  }

  async #read(name: string): Promise<Uint8Array> {
    try {
      return await this.#files.read('keys.read', join(this.#folder, name));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
      throw new SecurityError('keys-missing', `the key ${join(this.#folder, name)} is not there`, { cause });
    }
  }

  #path(name: KeyName): string {
    return join(this.#folder, `${name}.pem`);
  }
}
