// A list that a page shows: read when the page opens and after each reconnection, then kept up to date by live events. Events that
// come while the list is read are applied to it once more, in their order: each holds the whole object, so the last word wins.
import { useEffect, useState } from 'preact/hooks';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import { messageOf } from './format.js';

/** The live channel as pages hear it. */
export interface Live {
  readonly connected: boolean;
  /** Events as they come; returns what ends it. Stays the same function. */
  readonly subscribe: (listener: (event: LiveEvent) => void) => () => void;
}

export interface ListSource<T> {
  read(): Promise<readonly T[]>;
  /** What of an event belongs in the list. */
  pick(event: LiveEvent): T | undefined;
  key(item: T): string;
}

interface LiveList<T> {
  readonly items: readonly T[];
  /** Nothing has been read yet: neither a list nor an error can be shown. */
  readonly loading: boolean;
  readonly error: string | undefined;
}

/** The item in its place, or before all others where it is new. */
export function replace<T>(items: readonly T[], item: T, key: (item: T) => string): T[] {
  const at = items.findIndex((other) => key(other) === key(item));
  return at < 0 ? [item, ...items] : items.map((other, i) => (i === at ? item : other));
}

/** `source` must stay the same object between renders (useMemo). */
export function useLiveList<T>({ connected, subscribe }: Live, source: ListSource<T>): LiveList<T> {
  const [list, setList] = useState<LiveList<T>>({ items: [], loading: true, error: undefined });
  useEffect(() => {
    if (!connected) return undefined;
    let gone = false;
    const meanwhile: T[] = [];
    const unsubscribe = subscribe((event) => {
      const item = source.pick(event);
      if (item === undefined) return;
      meanwhile.push(item);
      setList((old) => ({ ...old, items: replace(old.items, item, source.key) }));
    });
    source.read().then(
      (items) => {
        if (gone) return;
        const newest = meanwhile.reduce<readonly T[]>((all, item) => replace(all, item, source.key), items);
        setList({ items: newest, loading: false, error: undefined });
      },
      (cause: unknown) => {
        if (!gone) setList((old) => ({ ...old, loading: false, error: messageOf(cause) }));
      },
    );
    return () => {
      gone = true;
      unsubscribe();
    };
  }, [connected, subscribe, source]);
  return list;
}
