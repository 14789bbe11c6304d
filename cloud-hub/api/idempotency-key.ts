// The header of a request that makes something once: its client may send it again under the same key, and gets what it has made.
import { z } from 'zod';

const idempotencyKeySchema = z.string().regex(/^[\x20-\x7e]{1,200}$/, 'must be 1 to 200 printable characters');

/** `headers` of such a call's schema. */
export const onceHeadersSchema = z.object({ 'idempotency-key': idempotencyKeySchema.optional() });
