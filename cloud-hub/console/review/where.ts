// The reviewer's condition and the tab's state as one query for the hub.
import type { ReviewTab } from '../route.js';

export function queryOf(tab: ReviewTab, where: string): string {
  return tab === 'all' ? where : narrowed(where, `state=${tab}`);
}

/** The condition narrowed by one more. It stays in front, so that the places that the hub's messages name are those in its own text. */
export function narrowed(where: string, condition: string): string {
  if (where === '') return condition;
  return /\bor\b/i.test(where) ? `(${where}) and ${condition}` : `${where} and ${condition}`;
}
