// `/agent/v1/...`: what the agent says about itself, as JSON, and the little that somebody on the device may ask of it.
import type { DeviceCache } from '../cache/device-cache.js';
import type { EngineSlots } from '../engine/engine-slots.js';
import type { Explanations } from '../router/explanations.js';
import type { HubClient } from '../router/hub-client.js';
import type { ModelControl } from '../router/model-control.js';
import { cacheReport } from './cache-routes.js';

export interface AgentRoutesModules {
  readonly slots: EngineSlots;
  readonly control: Pick<ModelControl, 'unloaded'>;
  readonly cache: DeviceCache;
  readonly hub: HubClient | undefined;
  readonly explanations: Explanations;
  readonly version: string;
  readonly mode: 'serve' | 'run';
  readonly state: () => 'starting' | 'serving' | 'draining';
  /** What `run` adds (device id, connection, activation); absent in `serve`. */
  readonly moreStatus: (() => object) | undefined;
  readonly startedMonotonicMs: number;
  readonly clock: { monotonicMs(): number };
}

interface JsonAnswer {
  readonly status: number;
  readonly body: object;
}

const EXPLAIN = '/agent/v1/explain/';
const LATEST_EXPLANATIONS = 50;

/** The answer to a GET of `path` (no query). */
export function answerAgentRoute(path: string, modules: AgentRoutesModules): JsonAnswer {
  if (path === '/agent/v1/status') return { status: 200, body: statusOf(modules) };
  if (path === '/agent/v1/models') return { status: 200, body: { models: modelsOf(modules.slots) } };
  if (path === '/agent/v1/cache') return { status: 200, body: cacheReport(modules.cache) };
  if (path === '/agent/v1/explain') {
    return { status: 200, body: { latest: modules.explanations.latest(LATEST_EXPLANATIONS) } };
  }
  if (path.startsWith(EXPLAIN)) {
    const id = decoded(path.slice(EXPLAIN.length));
    const found = id === undefined ? undefined : modules.explanations.get(id);
    if (found !== undefined) return { status: 200, body: found };
    return { status: 404, body: { error: `no request '${id ?? ''}' among the last 1000` } };
  }
  return { status: 404, body: { error: `no such path: ${path}` } };
}

/** The path of `POST /agent/v1/models/NAME/release`: the model's name; undefined for another path. */
export function releasedModel(path: string): string | undefined {
  const [, name] = /^\/agent\/v1\/models\/([^/]+)\/release$/.exec(path) ?? [];
  return name === undefined ? undefined : (decoded(name) ?? '');
}

/** Takes a model out of quarantine; harmless for one that is in none. */
export function releaseModel(name: string, slots: Pick<EngineSlots, 'release'>): JsonAnswer {
  const released = slots.release(name);
  if (released === undefined) return { status: 404, body: { error: `model '${name}' is not on this device` } };
  return { status: 200, body: { model: name, released } };
}

function statusOf(modules: AgentRoutesModules): object {
  const { slots, cache, hub, version, mode, clock } = modules;
  return {
    version,
    mode,
    state: modules.state(),
    uptimeMs: Math.round(clock.monotonicMs() - modules.startedMonotonicMs),
    residentBytes: process.memoryUsage.rss(),
    memory: slots.memory,
    cores: slots.cores,
    models: modelsOf(slots),
    unloaded: modules.control.unloaded().map(({ name, version, reason }) => ({ name, version, reason })),
    cache: { ...cache.counts, semantic: cache.semantic?.report() ?? [] },
    hub: hub === undefined ? null : hub.status,
    ...modules.moreStatus?.(),
  };
}

function modelsOf(slots: EngineSlots): object[] {
  return slots.names().flatMap((name) => {
    const active = slots.active(name);
    if (active === undefined) return [];
    const { version, versionDigest, variant, variantDigest, verified } = active.source;
    const { served, provider } = active;
    return [
      {
        name,
        version,
        versionDigest,
        variant,
        variantDigest,
        verified,
        provider,
        graphs: served.graphs,
        residency: active.residency ?? null,
        threads: active.threads ?? null,
        executorDeaths: served.executorDeaths,
        quarantine: served.quarantine ?? null,
        counts: served.counts,
        ...(served.stateful ? { sequences: { ...served.yaml.sequences, ...slots.sequenceCounts(name) } } : {}),
        privacy: served.yaml.privacy.fallback,
        cache: { ...served.yaml.cache, deterministic: served.deterministic },
      },
    ];
  });
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined; // a broken escape names no request
  }
}
