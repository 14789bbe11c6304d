// What a live list (live-list.ts) is of, and what it is once an event has happened: pure.
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';

export interface ListSource<T> {
  read(): Promise<readonly T[]>;
  /** What of an event belongs in the list. */
  pick(event: LiveEvent): T | undefined;
  key(item: T): string;
  /** The key of what an event says is gone. */
  gone?(event: LiveEvent): string | undefined;
}

/** The item in its place, or before all others where it is new. */
export function replace<T>(items: readonly T[], item: T, key: (item: T) => string): T[] {
  const at = items.findIndex((other) => key(other) === key(item));
  return at < 0 ? [item, ...items] : items.map((other, i) => (i === at ? item : other));
}

/** What the list is once the event has happened. */
export function after<T>(items: readonly T[], event: LiveEvent, { pick, key, gone }: ListSource<T>): readonly T[] {
  const item = pick(event);
  if (item !== undefined) return replace(items, item, key);
  const left = gone?.(event);
  return left === undefined ? items : items.filter((other) => key(other) !== left);
}
