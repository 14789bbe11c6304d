// Enrolment: `POST /device/v1/enrol` on the device port, the one call there without a client certificate. The token is
// `tg1.<base64url of JSON enrolmentTokenSchema>`; its secret is known to the hub as a hash only. The agent checks the hub's
// certificate chain against `caFingerprint` before it says anything.
import { z } from 'zod';

const enrolmentTokenSchema = z.strictObject({
  id: z.string(),
  secret: z.string(),
  /** SHA-256 of the hub CA's DER, lower-case hexadecimal. */
  caFingerprint: z.string().regex(/^[0-9a-f]{64}$/),
  /** Base URL of the device port. */
  deviceUrl: z.url(),
});
export type EnrolmentToken = z.infer<typeof enrolmentTokenSchema>;

export const enrolRequestSchema = z.strictObject({
  tokenId: z.string(),
  secret: z.string(),
  /** SPKI PEM of the device's own key (P-256). The private key never leaves the device. */
  publicKeyPem: z.string().max(4096),
  /** base64 ECDSA-SHA256 (DER) over `tidegate-enrol:` + tokenId + ':' + nonce by that key: proof of possession. */
  nonce: z.string().min(16).max(128),
  proof: z.string().max(1024),
  /** Wished name; the hub makes it unique or refuses. */
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
    .optional(),
});
export type EnrolRequest = z.infer<typeof enrolRequestSchema>;

/** What the device signs to prove that it holds its key. */
export function enrolProofText(tokenId: string, nonce: string): string {
  return `tidegate-enrol:${tokenId}:${nonce}`;
}

export const enrolResponseSchema = z.strictObject({
  deviceId: z.string(),
  /** Device certificate, then the CA, PEM. */
  certificatePem: z.string(),
  caPem: z.string(),
  group: z.string(),
  deviceUrl: z.string(),
  mqttUrl: z.string(), // mqtts://host:port
  /** TUF root to start from (root.json, any version; the client walks on from it). */
  tufRoot: z.string(),
});
export type EnrolResponse = z.infer<typeof enrolResponseSchema>;

export function encodeToken(token: EnrolmentToken): string {
  return `tg1.${Buffer.from(JSON.stringify(token)).toString('base64url')}`;
}

/** Undefined where the text is no enrolment token. */
export function decodeToken(text: string): EnrolmentToken | undefined {
  const match = /^tg1\.([A-Za-z0-9_-]+)$/.exec(text.trim());
  if (!match?.[1]) return undefined;
  try {
    return enrolmentTokenSchema.parse(JSON.parse(Buffer.from(match[1], 'base64url').toString('utf8')));
  } catch {
    return undefined; // not JSON or not a token's fields: the caller says so
  }
}
