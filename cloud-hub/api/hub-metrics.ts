// The hub's Prometheus metrics. Names carry units; labels have few values.
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import type { SpanCounts } from '@tidegate/shared/tracing/otlp-exporter.js';
import type { Cores } from '@tidegate/shared/scheduling/cores.js';
import type { ProviderWatch } from '../fleet/provider-watch.js';
import type { InMemory, KnownModels } from '../inference/known-models.js';
import type { SharedAnswers } from '../shared-cache/shared-answers.js';

/** What a path of the hub's port belongs to. */
export type Area = 'api' | 'v2' | 'metrics' | 'console';

interface HubGauges {
  readonly memory: () => KnownModels['memory'];
  readonly inMemory: () => readonly InMemory[];
  /** What models compute on. */
  readonly cores: () => Cores['report'];
  readonly liveClients: () => number;
  readonly connectedDevices: () => number;
  readonly inferencesInFlight: () => number;
  /** Devices on which a provider that was asked for failed. */
  readonly providerFallbacks: () => ReturnType<ProviderWatch['counts']>;
  /** What the hub keeps of its own. */
  readonly ownAnswers: () => AnswerCache['counts'];
  /** Undefined where the hub shares none. */
  readonly sharedAnswers: () => SharedAnswers['counts'] | undefined;
  /** Undefined where requests are not traced. */
  readonly spans: () => SpanCounts | undefined;
}

const MEMORY_FAMILIES = {
  tidegate_hub_memory_budget_bytes: [
    'Memory that hub, models and training may use together; 0 = no budget.',
    'budgetBytes',
  ],
  tidegate_hub_memory_used_bytes: ['Memory that they use, as last measured.', 'usedBytes'],
  tidegate_hub_model_loads_total: ['Times that a model version was loaded into memory.', 'loads'],
  tidegate_hub_model_memory_refused_total: ['Requests refused since their version was not in memory.', 'refusals'],
  tidegate_hub_memory_over_budget_total: [
    'Times that more was used than the budget, and nothing could leave.',
    'overBudget',
  ],
} as const;

const CORES_FAMILIES = {
  tidegate_hub_cores: ['Cores that models compute on.', 'count'],
  tidegate_hub_cores_busy: ['Of them, those that compute now.', 'busy'],
  tidegate_hub_cores_waiting: ['Requests that wait for them, over all models.', 'waiting'],
} as const;

const SHARED_FAMILIES = {
  tidegate_hub_shared_answers: ['Answers that devices share now.', 'entries'],
  tidegate_hub_shared_answers_waiting: ['Questions on whose answers too few devices agree yet.', 'waiting'],
  tidegate_hub_shared_answers_bytes: ['Bytes of the answers that devices share.', 'sizeBytes'],
  tidegate_hub_shared_answers_limit_bytes: ['Bytes that they may take.', 'limitBytes'],
  tidegate_hub_shared_answers_hits_total: ['Shared answers given to devices.', 'hits'],
  tidegate_hub_shared_answers_misses_total: ['Lookups by devices that found none.', 'misses'],
  tidegate_hub_shared_answers_offers_total: ['Answers that devices offered.', 'offers'],
  tidegate_hub_shared_answers_agreed_total: ['Answers on which enough devices came to agree.', 'agreed'],
  tidegate_hub_shared_answers_differing_total: ['Offers that differed from the answer that is given.', 'differing'],
  tidegate_hub_shared_answers_evictions_total: ['Answers that had to make room.', 'evictions'],
} as const;

const OWN_FAMILIES = {
  tidegate_hub_cache_answers: ['Answers of the hub itself that it keeps.', 'entries'],
  tidegate_hub_cache_bytes: ['Bytes of the answers that it keeps.', 'sizeBytes'],
  tidegate_hub_cache_limit_bytes: ['Bytes that they may take.', 'limitBytes'],
  tidegate_hub_cache_hits_total: ['Requests that a kept answer answered.', 'hits'],
  tidegate_hub_cache_misses_total: ['Lookups that found none.', 'misses'],
  tidegate_hub_cache_stale_total: ['Lookups that found only a too old one.', 'stale'],
  tidegate_hub_cache_stores_total: ['Answers that were put in.', 'stores'],
  tidegate_hub_cache_evictions_total: ['Kept answers that had to make room.', 'evictions'],
} as const;

interface Scraped {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export class HubMetrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'area' | 'status'>;

  constructor(gauges: HubGauges) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: 'tidegate_hub_http_requests_total',
      help: 'Answered HTTP requests by area and class of status.',
      labelNames: ['area', 'status'],
      registers,
    });
    const gauge = (name: string, help: string, value: () => number): void => {
      const made: Gauge = new Gauge({ name, help, registers, collect: () => made.set(value()) });
    };
    gauge('tidegate_hub_loaded_models', 'Model versions that are in memory.', () => gauges.inMemory().length);
    gauge('tidegate_hub_live_clients', 'Clients of the live channel.', gauges.liveClients);
    gauge('tidegate_hub_connected_devices', 'Devices that are connected to the broker.', gauges.connectedDevices);
    gauge(
      'tidegate_hub_inferences_in_flight',
      'Inference requests that are being answered.',
      gauges.inferencesInFlight,
    );
    this.#scraped('tidegate_trace_spans_total', 'Spans of traces, by what became of them.', ['result'], () =>
      Object.entries(gauges.spans() ?? {}).map(([result, value]) => ({ labels: { result }, value })),
    );
    const help = 'Devices that run a model on another provider than was asked for, by class of device.';
    this.#scraped('tidegate_hub_provider_fallback_devices', help, ['class', 'model'], () =>
      gauges.providerFallbacks().map(({ deviceClass, model, devices }) => ({
        labels: { class: deviceClass, model },
        value: devices,
      })),
    );
    for (const [name, [help, field]] of Object.entries(SHARED_FAMILIES)) {
      this.#scraped(name, help, [], () => [{ labels: {}, value: gauges.sharedAnswers()?.[field] ?? 0 }]);
    }
    for (const [name, [help, field]] of Object.entries(OWN_FAMILIES)) {
      this.#scraped(name, help, [], () => [{ labels: {}, value: gauges.ownAnswers().layers['memory']?.[field] ?? 0 }]);
    }
    this.#scraped('tidegate_hub_cache_joined_total', 'Requests that waited for an equal one.', [], () => [
      { labels: {}, value: gauges.ownAnswers().joined },
    ]);
    this.#addMemory(gauges);
  }

  #addMemory({ memory, inMemory, cores }: HubGauges): void {
    for (const [name, [help, field]] of Object.entries(MEMORY_FAMILIES)) {
      this.#scraped(name, help, [], () => [{ labels: {}, value: memory()[field] ?? 0 }]);
    }
    for (const [name, [help, field]] of Object.entries(CORES_FAMILIES)) {
      this.#scraped(name, help, [], () => [{ labels: {}, value: cores()[field] }]);
    }
    this.#scraped('tidegate_hub_model_evictions_total', 'Times that a version left memory, by why.', ['why'], () =>
      Object.entries(memory().evictions).map(([why, value]) => ({ labels: { why }, value })),
    );
    const help = 'Memory that a version uses, of those that are in memory.';
    this.#scraped('tidegate_hub_model_memory_bytes', help, ['model', 'version'], () =>
      inMemory().map(({ model, version, bytes }) => ({ labels: { model, version: String(version) }, value: bytes })),
    );
    const each = 'Threads of one run of a version, of those that are in memory.';
    this.#scraped('tidegate_hub_model_threads', each, ['model', 'version'], () =>
      inMemory().map(({ model, version, threads }) => ({
        labels: { model, version: String(version) },
        value: threads,
      })),
    );
  }

  /** What is counted elsewhere, read when it is asked for. */
  #scraped(name: string, help: string, labelNames: readonly string[], read: () => readonly Scraped[]): void {
    const collect = (): void => {
      made.reset();
      for (const { labels, value } of read()) made.inc({ ...labels }, value);
    };
    const options = { name, help, labelNames, registers: [this.#registry], collect };
    const made: Counter | Gauge = name.endsWith('_total') ? new Counter(options) : new Gauge(options);
  }

  answered(area: Area, status: number): void {
    this.#requests.inc({ area, status: `${Math.floor(status / 100)}xx` });
  }

  async text(): Promise<{ text: string; type: string }> {
    return { text: await this.#registry.metrics(), type: this.#registry.contentType };
  }
}
