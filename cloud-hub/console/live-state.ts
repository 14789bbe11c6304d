// What the pages show: lists read once, then kept up to date by live events. After a lost connection the lists are read
// again, since events may have been missed.
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Device, LiveEvent, Rollout, Version } from '@tidegate/shared/wire/admin-api.js';
import { messageOf } from './format.js';
import type { HubClient } from './hub-client.js';
import { replace } from './live-items.js';
import type { Live } from './live-list.js';

export interface LiveState extends Live {
  readonly devices: readonly Device[];
  readonly rollouts: readonly Rollout[];
  readonly versions: readonly Version[];
  readonly error: string | undefined;
  /** Evidence over time per rollout, for the chart: as seen since the page was opened. */
  readonly history: ReadonlyMap<string, readonly EvidencePoint[]>;
}

export interface EvidencePoint {
  readonly atSeconds: number;
  readonly canary: number | undefined;
  readonly control: number | undefined;
}

const HISTORY_MAX = 600;
const EMPTY: Omit<LiveState, 'subscribe'> = {
  devices: [],
  rollouts: [],
  versions: [],
  connected: false,
  error: undefined,
  history: new Map(),
};

async function readAll(client: HubClient): Promise<Pick<LiveState, 'devices' | 'rollouts' | 'versions'>> {
  const [devices, rollouts, models] = await Promise.all([client.devices(), client.rollouts(), client.models()]);
  const versions = (await Promise.all(models.map((model) => client.versions(model.name)))).flat();
  return { devices, rollouts, versions };
}

function withPoint(state: Pick<LiveState, 'history'>, rollout: Rollout): LiveState['history'] {
  const point: EvidencePoint = {
    atSeconds: Date.now() / 1000,
    canary: rollout.evidence?.canary['meanConfidence'],
    control: rollout.evidence?.control['meanConfidence'],
  };
  const points = [...(state.history.get(rollout.id) ?? []), point].slice(-HISTORY_MAX);
  return new Map(state.history).set(rollout.id, points);
}

function apply(state: typeof EMPTY, event: LiveEvent): typeof EMPTY {
  switch (event.kind) {
    case 'device':
      return { ...state, devices: replace(state.devices, event.device, (d) => d.id) };
    case 'rollout':
      return {
        ...state,
        rollouts: replace(state.rollouts, event.rollout, (r) => r.id),
        history: withPoint(state, event.rollout),
      };
    case 'version':
      return { ...state, versions: replace(state.versions, event.version, (v) => `${v.model}@${v.version}`) };
    case 'sample':
    case 'sample-deleted':
    case 'dataset':
    case 'dataset-deleted':
    case 'job':
      return state; // pages that show them subscribe
  }
}

export function useLiveState(client: HubClient): LiveState {
  const [state, setState] = useState(EMPTY);
  const listeners = useMemo(() => new Set<(event: LiveEvent) => void>(), [client]);
  const subscribe = useMemo<Live['subscribe']>(
    () => (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    [listeners],
  );
  useEffect(() => {
    const read = (): void => {
      readAll(client).then(
        (lists) => setState((old) => ({ ...old, ...lists, error: undefined })),
        (cause: unknown) => setState((old) => ({ ...old, error: messageOf(cause) })),
      );
    };
    return client.live(
      (event) => {
        setState((old) => apply(old, event));
        for (const listener of listeners) listener(event);
      },
      (connected) => {
        setState((old) => ({ ...old, connected }));
        if (connected) read();
      },
    );
  }, [client]);
  return { ...state, subscribe };
}
