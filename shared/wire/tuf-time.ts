// The hub states in every timestamp.json when it signed it. The field is covered by the signature, so a device that verified
// the file knows that it is at least this late (trusted time). TUF clients that don't know the field ignore it.

export const SIGNED_AT_FIELD = 'x-tidegate-signed-at';

/** Milliseconds since 1970 from a timestamp.json that was verified; undefined where the field is absent or no date. */
export function signedAtMs(timestampJson: Uint8Array): number | undefined {
  const document: unknown = JSON.parse(Buffer.from(timestampJson).toString('utf8'));
  const text = (document as { signed?: Record<string, unknown> }).signed?.[SIGNED_AT_FIELD];
  const ms = typeof text === 'string' ? Date.parse(text) : Number.NaN;
  return Number.isFinite(ms) ? ms : undefined;
}
