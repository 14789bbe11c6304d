// A list that a page shows: read when the page opens and after each reconnection, then kept up to date by live events. Events that
// come while the list is read are applied to it once more, in their order: each holds the whole object or says that it is gone, so the
// last word wins.
import { useEffect, useState } from 'preact/hooks';
import type { LiveEvent } from '@tidegate/shared/wire/admin-api.js';
import { messageOf } from './format.js';
import { after, type ListSource } from './live-items.js';

/** The live channel as pages hear it. */
export interface Live {
  readonly connected: boolean;
  /** Events as they come; returns what ends it. Stays the same function. */
  readonly subscribe: (listener: (event: LiveEvent) => void) => () => void;
}

interface LiveList<T> {
  readonly items: readonly T[];
  /** Nothing has been read yet: neither a list nor an error can be shown. */
  readonly loading: boolean;
  readonly error: string | undefined;
}

/** `source` must stay the same object between renders (useMemo). */
export function useLiveList<T>({ connected, subscribe }: Live, source: ListSource<T>): LiveList<T> {
  const [list, setList] = useState<LiveList<T>>({ items: [], loading: true, error: undefined });
  useEffect(() => {
    if (!connected) return undefined;
    let closed = false;
    const meanwhile: LiveEvent[] = [];
    const unsubscribe = subscribe((event) => {
      if (source.pick(event) === undefined && source.gone?.(event) === undefined) return;
      meanwhile.push(event);
      setList((old) => ({ ...old, items: after(old.items, event, source) }));
    });
    source.read().then(
      (items) => {
        if (closed) return;
        const newest = meanwhile.reduce<readonly T[]>((all, event) => after(all, event, source), items);
        setList({ items: newest, loading: false, error: undefined });
      },
      (cause: unknown) => {
        if (!closed) setList((old) => ({ ...old, loading: false, error: messageOf(cause) }));
      },
    );
    return () => {
      closed = true;
      unsubscribe();
    };
  }, [connected, subscribe, source]);
  return list;
}
