// The error of a request that is wrong: the message begins with the field, so that it stands in `{"error": "..."}` too.
import { ServingError } from '../serving-error.js';

export function invalid(field: string, text: string, cause?: unknown): ServingError {
  return new ServingError('invalid-argument', `${field}: ${text}`, cause === undefined ? { field } : { field, cause });
}
