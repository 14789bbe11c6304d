// Digests as they travel: `sha256:` and 64 lower-case hexadecimal digits.
import { createHash } from 'node:crypto';
import { z } from 'zod';

export const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits');
export type Digest = string;

export function sha256(data: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** The 64 digits, for file names and paths. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
