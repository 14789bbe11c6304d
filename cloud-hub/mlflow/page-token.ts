// Where a list goes on: an offset, written as MLflow's own servers write it, so that clients that look into it find what they expect.
import { invalid } from './mlflow-error.js';

/** 0 without a token; INVALID_PARAMETER_VALUE for a token that no answer held. */
export function offsetOf(token: string | undefined): number {
  if (token === undefined || token === '') return 0;
  let offset: unknown;
  try {
    offset = (JSON.parse(Buffer.from(token, 'base64').toString('utf8')) as { offset?: unknown }).offset;
  } catch {
    // not JSON: refused below like any other text
  }
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 1)
    throw invalid('page_token: is no token of this hub');
  return offset;
}

/** `next_page_token` for a list that goes on at this offset. */
export function pageToken(offset: number): string {
  return Buffer.from(JSON.stringify({ offset })).toString('base64');
}

/** A page of a list that is all in memory. */
export function pageOf<T>(all: readonly T[], token: string | undefined, most: number): { items: T[]; next?: string } {
  const offset = offsetOf(token);
  const end = offset + most;
  return { items: all.slice(offset, end), ...(end < all.length ? { next: pageToken(end) } : {}) };
}
