// The reviewer's condition and the tab's state as one query for the hub.
import type { ReviewTab } from '../route.js';

/** The condition stays in front, so that the places that the hub's messages name are those in the reviewer's own text. */
export function queryOf(tab: ReviewTab, where: string): string {
  if (tab === 'all') return where;
  if (where === '') return `state=${tab}`;
  return /\bor\b/i.test(where) ? `(${where}) and state=${tab}` : `${where} and state=${tab}`;
}

/** The condition narrowed by one more. */
export function narrowed(where: string, condition: string): string {
  if (where === '') return condition;
  return /\bor\b/i.test(where) ? `(${where}) and ${condition}` : `${where} and ${condition}`;
}
