// `/metrics`: Prometheus text. Labels are bounded: models of this device by name (others are `other`), outcomes and codes of
// fixed sets. Counts that components keep themselves are read when scraped, so that nothing is counted twice.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DeviceCache } from '../cache/device-cache.js';
import type { CaptureStatus } from '../capture/captures.js';
import type { EngineSlots } from '../engine/engine-slots.js';
import type { ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import type { Tracing } from '@tidegate/shared/tracing/open-tracing.js';
import type { HubClient } from '../router/hub-client.js';
import type { RequestEnd } from '../router/request-trail.js';

interface MetricSources {
  readonly slots: EngineSlots;
  readonly cache: DeviceCache;
  readonly hub: HubClient | undefined;
  readonly captures?: (() => CaptureStatus | undefined) | undefined;
  readonly tracing?: Pick<Tracing, 'counts'> | undefined;
  readonly version: string;
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const LATENCY_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const REFUSED_AT_ADMISSION: ReadonlySet<ServingErrorCode> = new Set([
  'would-miss-deadline',
  'queue-full',
  'rate-limited',
]);
const REFUSAL_BUCKETS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1];

const MODEL_FAMILIES = {
  tidegate_executor_runs_total: ['Runs that executors were given', 'runs'],
  tidegate_executor_rows_total: ['Rows in those runs; more than runs where requests were batched', 'rows'],
  tidegate_scheduler_refused_total: ['Requests refused at admission', 'refused'],
  tidegate_scheduler_expired_total: ['Requests whose deadline passed in the queue or in a run', 'expired'],
  tidegate_scheduler_cancelled_total: ['Requests whose caller went away before the answer', 'cancelled'],
  tidegate_scheduler_retried_total: ['Requests repeated after their executor died or hung', 'retried'],
  tidegate_scheduler_repeated_total: ["Runs that made way for a light caller's request, and were repeated", 'repeated'],
  tidegate_scheduler_padded_total: ['Runs of requests that differed in a length', 'padded'],
  tidegate_scheduler_queue_depth: ['Requests waiting now', 'queueDepth'],
  tidegate_scheduler_running: ['Runs in flight now', 'running'],
} as const;

const MEMORY_FAMILIES = {
  tidegate_memory_budget_bytes: ['What agent and executors may use together; 0 without a budget', 'budgetBytes'],
  tidegate_memory_used_bytes: ['What agent and executors used when last measured', 'usedBytes'],
  tidegate_memory_over_budget_total: [
    'Times that more was used than the budget allows, and nothing could leave',
    'overBudget',
  ],
} as const;

const CORES_FAMILIES = {
  tidegate_cores: ['Cores that models compute on', 'count'],
  tidegate_cores_busy: [
    'Of them, those that compute now; more than there are where runs of several threads share them',
    'busy',
  ],
  tidegate_cores_waiting: ['Requests that wait for them, over all models', 'waiting'],
} as const;

const RESIDENCY_FAMILIES = {
  tidegate_model_memory_bytes: ['What its executors use, as last measured; 0 while it is not in memory', 'bytes'],
  tidegate_model_loads_total: [
    'Times that it was loaded since the version is on the device, the first included',
    'loads',
  ],
  tidegate_model_memory_refused_total: ['Requests that did not wait for it to be in memory, or could not', 'refusals'],
} as const;

const CACHE_FAMILIES = {
  tidegate_cache_hits_total: ['Answers given from the layer', 'hits'],
  tidegate_cache_misses_total: ['Lookups that the layer had nothing for', 'misses'],
  tidegate_cache_stale_total: ['Lookups for which the layer had only a too old answer', 'stale'],
  tidegate_cache_stores_total: ['Answers put into the layer', 'stores'],
  tidegate_cache_evictions_total: ['Answers that had to make room', 'evictions'],
  tidegate_cache_broken_total: ['Entries that were not what was written, and calls of the disk that failed', 'broken'],
  tidegate_cache_dropped_total: [
    'Answers that were to be written to disk, or offered to the hub, and were given up',
    'dropped',
  ],
  tidegate_cache_audits_total: ['Hits that were computed anyway, to see whether they are right', 'audits'],
  tidegate_cache_disagreements_total: ['Of the audits, those that differed', 'disagreements'],
  tidegate_cache_entries: ['Answers in the layer', 'entries'],
  tidegate_cache_size_bytes: ['Bytes that the layer holds', 'sizeBytes'],
  tidegate_cache_limit_bytes: ['Bytes that the layer may hold', 'limitBytes'],
} as const;

const CACHE_MODEL_FAMILIES = {
  tidegate_cache_model_misses_total: ['Requests that no layer had an answer for', 'misses'],
  tidegate_cache_model_stale_hits_total: ['Of the hits, those older than the TTL', 'staleHits'],
} as const;

const STAGE_FAMILIES = {
  tidegate_cache_stage_hits_total: ['Runs of a graph that were spared: its outputs were kept', 'hits'],
  tidegate_cache_stage_misses_total: ['Lookups of kept outputs that found none', 'misses'],
} as const;

const SEMANTIC_FAMILIES = {
  tidegate_cache_semantic_audits_total: ['Answers to similar inputs that were computed anyway', 'audits'],
  tidegate_cache_semantic_disagreements_total: ['Of those, the ones that turned out wrong', 'disagreements'],
  tidegate_cache_semantic_disagreement_ratio: ['Share of the audits of late that disagreed', 'disagreementRate'],
  tidegate_cache_semantic_off: ['1 where it has ended by itself: it disagreed too often', 'off'],
} as const;

const HUB_FAMILIES = {
  tidegate_hub_calls_total: ['Requests sent to the hub', 'calls'],
  tidegate_hub_probes_total: ['Of those, probes while the breaker was open', 'probes'],
  tidegate_hub_answers_total: ['Answers of the hub', 'answers'],
  tidegate_hub_failures_total: ['Calls that failed', 'failures'],
  tidegate_hub_timeouts_total: ['Calls that were given up', 'timeouts'],
  tidegate_hub_kept_total: ['Calls that the breaker or the deadline kept back', 'kept'],
} as const;

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'model' | 'outcome' | 'code'>;
  readonly #seconds: Histogram<'model' | 'outcome'>;
  readonly #refusals: Histogram<'body'>;
  /** Looked up once per combination of labels: hashing them for each request costs more than the counting. */
  readonly #series = new Map<
    string,
    { readonly count: Counter.Internal; readonly seconds: Histogram.Internal<string> }
  >();

  constructor(sources: MetricSources) {
    const registers = [this.#registry];
    this.#requests = new Counter({
      name: 'tidegate_requests_total',
      help: 'Finished inference requests by where they were answered and how they ended',
      labelNames: ['model', 'outcome', 'code'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'tidegate_request_duration_seconds',
      help: 'From acceptance to answer',
      labelNames: ['model', 'outcome'],
      buckets: LATENCY_BUCKETS_S,
      registers,
    });
    this.#refusals = new Histogram({
      name: 'tidegate_refusal_duration_seconds',
      help: 'Of requests refused at admission over HTTP: from their last byte to the refusal, or from their head where their body was not read',
      labelNames: ['body'],
      buckets: REFUSAL_BUCKETS_S,
      registers,
    });
    this.#scraped('tidegate_build_info', '1, with the version as label', ['version'], () => [
      { labels: { version: sources.version }, value: 1 },
    ]);
    this.#scraped('tidegate_resident_memory_bytes', "Resident memory of the agent's main process", [], () => [
      { labels: {}, value: process.memoryUsage.rss() },
    ]);
    this.#addModels(sources.slots);
    this.#addProviders(sources.slots);
    this.#addCache(sources.cache);
    if (sources.hub !== undefined) this.#addHub(sources.hub);
    if (sources.captures !== undefined) this.#addCaptures(sources.captures);
    if (sources.tracing !== undefined) this.#addTracing(sources.tracing);
  }

  ended({ model = 'other', outcome, code, totalMs }: RequestEnd): void {
    const key = `${model} ${outcome} ${code}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { count: this.#requests.labels(model, outcome, code), seconds: this.#seconds.labels(model, outcome) };
      this.#series.set(key, series);
    }
    series.count.inc();
    series.seconds.observe(totalMs / 1000);
  }

  /** An inference request over HTTP was refused, so long after it had been read, or its head where its body was not. */
  refused(code: ServingErrorCode, tookMs: number, unread: boolean): void {
    if (REFUSED_AT_ADMISSION.has(code)) this.#refusals.observe({ body: unread ? 'unread' : 'read' }, tookMs / 1000);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #addModels(slots: EngineSlots): void {
    for (const [name, [help, field]] of Object.entries(MODEL_FAMILIES)) {
      this.#scraped(name, help, ['model'], () =>
        slots.names().map((model) => ({ labels: { model }, value: slots.serving(model)?.counts[field] ?? 0 })),
      );
    }
    this.#addMemory(slots);
    this.#scraped(
      'tidegate_executors',
      'Executor processes that hold models now; small proven ones share some',
      [],
      () => [{ labels: {}, value: slots.executorPids.size }],
    );
    this.#scraped(
      'tidegate_executor_deaths_total',
      'Executors that ended unasked, or were ended for hanging, since the version was loaded',
      ['model'],
      () => slots.names().map((model) => ({ labels: { model }, value: slots.serving(model)?.executorDeaths ?? 0 })),
    );
    this.#scraped(
      'tidegate_model_quarantined',
      '1 while the model answers nothing here, since its executors died too often',
      ['model'],
      () =>
        slots.names().map((model) => ({
          labels: { model },
          value: slots.serving(model)?.quarantine === undefined ? 0 : 1,
        })),
    );
    this.#addSequences(slots);
    this.#addBranches(slots);
    this.#scraped(
      'tidegate_model_info',
      '1 for each active model, with what runs as labels',
      ['model', 'version', 'variant', 'digest', 'provider'],
      () =>
        slots.names().flatMap((model) => {
          const active = slots.active(model);
          if (active === undefined) return [];
          const { version, variant, variantDigest: digest } = active.source;
          return [{ labels: { model, version, variant, digest, provider: active.provider.runs }, value: 1 }];
        }),
    );
  }

  #addProviders(slots: EngineSlots): void {
    this.#scraped('tidegate_model_threads', 'Threads of one run of an active model', ['model'], () =>
      slots.names().flatMap((model) => {
        const value = slots.active(model)?.served.threads;
        return value === undefined ? [] : [{ labels: { model }, value }];
      }),
    );
    this.#scraped(
      'tidegate_model_cpu_nodes_ratio',
      'Share of the nodes of an active model that the CPU runs; absent where the engine cannot tell',
      ['model', 'provider'],
      () =>
        slots.names().flatMap((model) => {
          const { runs: provider, cpuNodesRatio: value } = slots.active(model)?.provider ?? {};
          return provider === undefined || value === undefined ? [] : [{ labels: { model, provider }, value }];
        }),
    );
  }

  #addBranches(slots: EngineSlots): void {
    this.#scraped(
      'tidegate_branch_items_total',
      'Items for which a branch of the pipeline took a side, since the version was loaded',
      ['model', 'step', 'side'],
      () =>
        slots.names().flatMap((model) =>
          [...(slots.serving(model)?.sides ?? [])].flatMap(([step, { held, other }]) => [
            { labels: { model, step, side: 'first' }, value: held },
            { labels: { model, step, side: 'second' }, value: other },
          ]),
        ),
    );
  }

  /** Of models with state. */
  #addSequences(slots: EngineSlots): void {
    const counts = () => slots.names().flatMap((model) => ({ model, ...slots.sequenceCounts(model) }));
    this.#scraped('tidegate_sequences_live', 'Sequences whose state is held now', ['model'], () =>
      counts().flatMap(({ model, live }) => (live === undefined ? [] : { labels: { model }, value: live })),
    );
    this.#scraped('tidegate_sequences_started_total', 'Sequences that have begun', ['model'], () =>
      counts().flatMap(({ model, started }) => (started === undefined ? [] : { labels: { model }, value: started })),
    );
    this.#scraped('tidegate_sequences_ended_total', 'Sequences that have ended, by why', ['model', 'why'], () =>
      counts().flatMap(({ model, ended = {} }) =>
        Object.entries(ended).map(([why, value]) => ({ labels: { model, why }, value })),
      ),
    );
  }

  #addMemory(slots: EngineSlots): void {
    for (const [name, [help, field]] of Object.entries(MEMORY_FAMILIES)) {
      this.#scraped(name, help, [], () => [{ labels: {}, value: slots.memory[field] ?? 0 }]);
    }
    for (const [name, [help, field]] of Object.entries(CORES_FAMILIES)) {
      this.#scraped(name, help, [], () => [{ labels: {}, value: slots.cores[field] }]);
    }
    for (const [name, [help, field]] of Object.entries(RESIDENCY_FAMILIES)) {
      this.#scraped(name, help, ['model'], () =>
        slots.names().map((model) => ({ labels: { model }, value: slots.active(model)?.residency?.[field] ?? 0 })),
      );
    }
    this.#scraped('tidegate_model_evictions_total', 'Times that the model left memory, by why', ['model', 'why'], () =>
      slots.names().flatMap((model) =>
        Object.entries(slots.active(model)?.residency?.evictions ?? {}).map(([why, value]) => ({
          labels: { model, why },
          value,
        })),
      ),
    );
  }

  #addCache(cache: DeviceCache): void {
    for (const [name, [help, field]] of Object.entries(CACHE_FAMILIES)) {
      this.#scraped(name, help, ['layer'], () =>
        Object.entries(cache.counts.layers).map(([layer, counts]) => ({
          labels: { layer },
          value: counts[field] ?? 0,
        })),
      );
    }
    this.#scraped('tidegate_cache_model_hits_total', 'Answers given from a layer', ['model', 'layer'], () =>
      cache
        .modelCounts()
        .flatMap(({ model, hits }) =>
          Object.entries(hits).map(([layer, value]) => ({ labels: { model, layer }, value })),
        ),
    );
    for (const [name, [help, field]] of Object.entries(CACHE_MODEL_FAMILIES)) {
      this.#scraped(name, help, ['model'], () =>
        cache.modelCounts().map(({ model, [field]: value }) => ({ labels: { model }, value })),
      );
    }
    for (const [name, [help, field]] of Object.entries(STAGE_FAMILIES)) {
      this.#scraped(name, help, ['model', 'graph'], () =>
        (cache.stages?.counts ?? []).map(({ model, graph, [field]: value }) => ({ labels: { model, graph }, value })),
      );
    }
    for (const [name, [help, field]] of Object.entries(SEMANTIC_FAMILIES)) {
      this.#scraped(name, help, ['model'], () =>
        (cache.semantic?.report() ?? []).map(({ model, [field]: value }) => ({
          labels: { model },
          value: Number(value),
        })),
      );
    }
    this.#scraped('tidegate_cache_aside', '1 while the cache stands aside: it cost more than it saved', ['model'], () =>
      cache.modelCounts().map(({ model, aside }) => ({ labels: { model }, value: aside ? 1 : 0 })),
    );
    this.#scraped('tidegate_cache_renewals_total', 'Stale answers that were to be renewed', ['result'], () =>
      Object.entries(cache.counts.renewals).map(([result, value]) => ({ labels: { result }, value })),
    );
    this.#scraped('tidegate_cache_joined_total', 'Requests that waited for an equal one', [], () => [
      { labels: {}, value: cache.counts.joined },
    ]);
  }

  #addHub(hub: HubClient): void {
    for (const [name, [help, field]] of Object.entries(HUB_FAMILIES)) {
      this.#scraped(name, help, [], () => [{ labels: {}, value: hub.status.counts[field] }]);
    }
    this.#scraped('tidegate_hub_breaker_open', '1 while the hub is only probed', [], () => [
      { labels: {}, value: hub.status.phase === 'open' ? 1 : 0 },
    ]);
    this.#scraped(
      'tidegate_hub_round_trip_seconds',
      'Round trip to the hub, from its calls; 0 before the first',
      [],
      () => [{ labels: {}, value: (hub.status.roundTripMs ?? 0) / 1000 }],
    );
    const rate = 'What the way to the hub carries; 0 until calls of different sizes were made';
    this.#scraped('tidegate_hub_bytes_per_second', rate, [], () => [
      { labels: {}, value: hub.status.bytesPerSecond ?? 0 },
    ]);
  }

  #addCaptures(status: () => CaptureStatus | undefined): void {
    this.#scraped('tidegate_captures_total', 'Samples that were kept for the hub', ['model', 'reason'], () =>
      (status()?.captured ?? []).map(({ model, reason, count }) => ({ labels: { model, reason }, value: count })),
    );
    this.#scraped('tidegate_captures_dropped_total', 'Samples that were given up, by why', ['why'], () =>
      Object.entries(status()?.dropped ?? {}).map(([why, value]) => ({ labels: { why }, value })),
    );
    this.#scraped('tidegate_captures_sent_total', 'Samples that the hub has acknowledged', [], () => [
      { labels: {}, value: status()?.sent ?? 0 },
    ]);
    this.#scraped('tidegate_captures_stored_bytes', 'Disk space of samples that wait for the hub', [], () => [
      { labels: {}, value: status()?.waiting.bytes ?? 0 },
    ]);
  }

  #addTracing(tracing: Pick<Tracing, 'counts'>): void {
    this.#scraped('tidegate_trace_spans_total', 'Spans of traces, by what became of them', ['result'], () =>
      Object.entries(tracing.counts).map(([result, value]) => ({ labels: { result }, value })),
    );
  }

  /** A family whose samples are read when scraped: a counter where its name says so, else a gauge. */
  #scraped(name: string, help: string, labelNames: string[], read: () => readonly Sample[]): void {
    const counter = name.endsWith('_total');
    const metric = counter
      ? new Counter({ name, help, labelNames, registers: [], collect })
      : new Gauge({ name, help, labelNames, registers: [], collect });
    function collect(): void {
      metric.reset();
      for (const { labels, value } of read()) metric.inc(labels, value);
    }
    this.#registry.registerMetric(metric);
  }
}
