// The shell around the queue: reads pages, sends changes, hears of changes made elsewhere. Changes of one sample go to the hub one
// after another, so that a quick undo never overtakes the label that it undoes.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { SampleView } from '@tidegate/shared/wire/data-api.js';
import { messageOf } from '../format.js';
import type { HubClient } from '../hub-client.js';
import type { Live } from '../live-list.js';
import * as queueOf from './queue.js';
import { EMPTY_QUEUE, type Change, type Queue } from './queue.js';

const PAGE_SAMPLES = 60;

export interface Review {
  readonly queue: Queue;
  readonly loading: boolean;
  /** Why the list could not be read. */
  readonly error: string | undefined;
  /** Samples that came while the page was open and are not in the queue. */
  readonly arrived: number;
  select(at: number): void;
  change(id: string, change: Change): void;
  more(): void;
  reload(): void;
}

/** `where` narrows the samples, in the hub's query language. */
export function useReview(client: HubClient, live: Live, where: string): Review {
  const [queue, setQueue] = useState(EMPTY_QUEUE);
  const [status, setStatus] = useState<{ loading: boolean; error?: string }>({ loading: true });
  const [arrived, setArrived] = useState<ReadonlySet<string>>(new Set());
  const [round, setRound] = useState(0);
  const latest = useRef(queue);
  latest.current = queue;
  const chains = useMemo(() => new Map<string, Promise<void>>(), [client]);
  const shownRound = useRef(0);

  const read = (cursor: string | undefined): void => {
    shownRound.current += 1;
    const mine = shownRound.current;
    setStatus({ loading: true });
    client.samples({ where, limit: PAGE_SAMPLES, cursor }).then(
      (page) => {
        if (mine !== shownRound.current) return;
        setQueue((old) => queueOf.withPage(cursor === undefined ? EMPTY_QUEUE : old, page));
        setStatus({ loading: false });
      },
      (cause: unknown) => {
        if (mine !== shownRound.current) return;
        if (cursor === undefined) setQueue(EMPTY_QUEUE);
        setStatus({ loading: false, error: messageOf(cause) });
      },
    );
  };
  useEffect(() => {
    setArrived(new Set());
    read(undefined);
    return () => {
      shownRound.current += 1; // an answer that is still on its way is for another list
    };
  }, [client, where, round]);
  useEffect(
    () =>
      live.subscribe((event) => {
        if (event.kind === 'sample-deleted') {
          setQueue((old) => queueOf.remove(old, event.id));
          setArrived((old) => new Set([...old].filter((id) => id !== event.id)));
        }
        if (event.kind !== 'sample') return;
        const { sample } = event;
        setQueue((old) => queueOf.observe(old, sample));
        if (queueOf.isNews(latest.current, sample)) setArrived((old) => new Set(old).add(sample.id));
      }),
    [live.subscribe],
  );

  const change = (id: string, wanted: Change): void => {
    setQueue((old) => queueOf.begin(old, id, wanted));
    const before = chains.get(id) ?? Promise.resolve();
    const done = before
      .then(() => send(client, id, wanted))
      .then(
        (sample) => setQueue((old) => queueOf.settle(old, sample)),
        (cause: unknown) => setQueue((old) => queueOf.fail(old, id, messageOf(cause))),
      )
      .finally(() => {
        if (chains.get(id) === done) chains.delete(id);
      });
    chains.set(id, done);
  };
  return {
    queue,
    loading: status.loading,
    error: status.error,
    arrived: arrived.size,
    select: (at) => setQueue((old) => queueOf.select(old, at)),
    change,
    more: () => read(queue.nextCursor),
    reload: () => setRound((old) => old + 1),
  };
}

function send(client: HubClient, id: string, change: Change): Promise<SampleView> {
  return change.kind === 'label' ? client.label(id, change.label) : client.sampleCommand(id, change.kind);
}
