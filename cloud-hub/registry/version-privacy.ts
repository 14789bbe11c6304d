// A version's privacy policy as its row holds it: JSON since capture exists, before that the one word of `privacy.fallback`.
import { privacySchema, type Privacy } from '@tidegate/shared/wire/privacy.js';

/** Throws where the database holds neither. */
export function readPrivacy(text: string): Privacy {
  return privacySchema.parse(text === 'local' || text === 'hub' ? { fallback: text } : JSON.parse(text));
}
