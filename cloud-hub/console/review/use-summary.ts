// How many samples that fulfil the condition stand in each state, and which labels they have: read when the condition changes and again
// soon after samples have changed, once for many changes.
import { useEffect, useState } from 'preact/hooks';
import type { SampleSummary } from '@tidegate/shared/wire/data-api.js';
import type { HubClient } from '../hub-client.js';
import type { Live } from '../live-list.js';

const SETTLE_MS = 800;

/** Undefined until it is known, and where the condition can't be read: the list says why. */
export function useSummary(
  client: HubClient,
  { connected, subscribe }: Live,
  where: string,
): SampleSummary | undefined {
  const [summary, setSummary] = useState<SampleSummary>();
  useEffect(() => {
    let gone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = (): void => {
      timer = undefined;
      client.sampleSummary(where).then(
        (known) => !gone && setSummary(known),
        () => !gone && setSummary(undefined),
      );
    };
    read();
    const unsubscribe = subscribe((event) => {
      if (event.kind === 'sample' || event.kind === 'sample-deleted') timer ??= setTimeout(read, SETTLE_MS);
    });
    return () => {
      gone = true;
      clearTimeout(timer);
      unsubscribe();
    };
  }, [client, connected, subscribe, where]);
  return summary;
}
