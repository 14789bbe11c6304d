// A device's certificate is renewed from two thirds of its life on, by the key alone; the hub also takes an expired one for this
// (field lesson B3). `renewalDue` is the policy; `renewCertificate` acts.
import { X509Certificate } from 'node:crypto';
import type { Agent } from 'undici';
import type { Files } from '@tidegate/shared/system/files.js';
import { devicePaths, renewResponseSchema } from '@tidegate/shared/wire/device-api.js';
import { checkCertificate, jsonOf, post, refusalOf } from './enrol.js';
import { loadIdentity, storeIdentity, type Identity } from './identity.js';
import { IdentityError } from './identity-error.js';

/** `nowMs` is trusted time. */
export function renewalDue(certificatePem: string, nowMs: number): boolean {
  const { validFrom, validTo } = new X509Certificate(certificatePem);
  const fromMs = Date.parse(validFrom);
  return nowMs >= fromMs + ((Date.parse(validTo) - fromMs) * 2) / 3;
}

/**
 * Gets and stores a new certificate for the same key; resolves with the new identity, for which the caller makes a new
 * dispatcher. Rejects with IdentityError (`refused` with `hubCode: revoked` is final) or the transport's error.
 */
export async function renewCertificate(
  dataDir: string,
  identity: Identity,
  modules: { readonly files: Files; readonly dispatcher: Agent },
  signal: AbortSignal,
): Promise<Identity> {
  const url = new URL(devicePaths.renew, identity.deviceUrl).href;
  const { statusCode, text } = await post(url, {}, modules.dispatcher, signal);
  if (statusCode !== 200) throw refusalOf(identity.deviceUrl, statusCode, text);
  const parsed = renewResponseSchema.safeParse(jsonOf(text));
  if (!parsed.success) throw new IdentityError('invalid-answer', "the hub's answer can't be read");
  const ca = new X509Certificate(identity.caPem);
  checkCertificate(parsed.data.certificatePem, ca, identity.deviceId, identity.keyPem, (message) => {
    throw new IdentityError('invalid-answer', `the hub's answer was not taken: ${message}`);
  });
  const { keyPem: _, ...document } = identity;
  await storeIdentity(dataDir, { ...document, certificatePem: parsed.data.certificatePem }, modules.files);
  return loadIdentity(dataDir, modules.files);
}
