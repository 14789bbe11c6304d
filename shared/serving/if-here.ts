// A service asked about a model that it may not have: one that isn't here may still be answered by the hub.
import { ServingError } from './serving-error.js';

/** Undefined where `ask` throws `not-found`; any other error passes. */
export function ifHere<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (error instanceof ServingError && error.code === 'not-found') return undefined;
    throw error;
  }
}
