// What devices and hub say to each other about shared answers (docs/decisions/0003-shared-answers.md). The body is the agent's own
// encoding of an answer; to the hub it is bytes that devices agree on or don't.
//
// GET  /device/v1/answers/KEY                          200 the body, with its age in AGE_HEADER; 404 none
// PUT  /device/v1/answers/KEY?model=&version=&variant=&tag=   the body; 202 SharedOfferAnswer
import { z } from 'zod';
import { digestSchema } from './digest.js';
import { modelNameSchema } from './model-yaml.js';

export const LIMIT_SHARED_ANSWER_BYTES = 256 * 1024;
/** Milliseconds since a device last computed it. */
export const AGE_HEADER = 'tidegate-age-ms';

/** SHA-256 in base64url, of everything that decides the answer, the kind of machine included. */
export const sharedKeySchema = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be 43 characters of base64url');

export const sharedOfferSchema = z.strictObject({
  model: modelNameSchema,
  version: digestSchema,
  variant: digestSchema,
  tag: z.array(z.string().min(1).max(128)).max(8),
});
export type SharedOffer = z.infer<typeof sharedOfferSchema>;

export interface SharedOfferAnswer {
  /** `given`: enough devices agree, others get it now. `waits`: for others to say the same. */
  readonly state: 'given' | 'waits';
}
