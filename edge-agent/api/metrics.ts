// `/metrics`: Prometheus text. Labels are bounded: models of this device by name (others are `other`), outcomes and codes of
// fixed sets. What ended is counted here; counts that components keep themselves are read from them (scraped-families.ts).
import { Counter, Histogram, Registry } from 'prom-client';
import type { DeviceCache } from '../cache/device-cache.js';
import type { CaptureStatus } from '../capture/captures.js';
import type { EngineSlots } from '../engine/engine-slots.js';
import type { ServingErrorCode } from '@tidegate/shared/serving/serving-error.js';
import type { Tracing } from '@tidegate/shared/tracing/open-tracing.js';
import type { HubClient } from '../router/hub-client.js';
import type { RequestEnd } from '../router/request-trail.js';
import { addCache } from './cache-metrics.js';
import { addModels } from './model-metrics.js';
import { scrapedFamilies, type AddFamily } from './scraped-families.js';

interface MetricSources {
  readonly slots: EngineSlots;
  readonly cache: DeviceCache;
  readonly hub: HubClient | undefined;
  readonly captures?: (() => CaptureStatus | undefined) | undefined;
  readonly tracing?: Pick<Tracing, 'counts'> | undefined;
  readonly version: string;
}

const LATENCY_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const REFUSED_AT_ADMISSION: ReadonlySet<ServingErrorCode> = new Set([
  'would-miss-deadline',
  'queue-full',
  'rate-limited',
]);
const REFUSAL_BUCKETS_S = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1];

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
    const add = scrapedFamilies(this.#registry);
    add('tidegate_build_info', '1, with the version as label', ['version'], () => [
      { labels: { version: sources.version }, value: 1 },
    ]);
    add('tidegate_resident_memory_bytes', "Resident memory of the agent's main process", [], () => [
      { labels: {}, value: process.memoryUsage.rss() },
    ]);
    addModels(add, sources.slots);
    addCache(add, sources.cache);
    if (sources.hub !== undefined) addHub(add, sources.hub);
    if (sources.captures !== undefined) addCaptures(add, sources.captures);
    if (sources.tracing !== undefined) addTracing(add, sources.tracing);
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
}

function addHub(add: AddFamily, hub: HubClient): void {
  for (const [name, [help, field]] of Object.entries(HUB_FAMILIES)) {
    add(name, help, [], () => [{ labels: {}, value: hub.status.counts[field] }]);
  }
  add('tidegate_hub_breaker_open', '1 while the hub is only probed', [], () => [
    { labels: {}, value: hub.status.phase === 'open' ? 1 : 0 },
  ]);
  add('tidegate_hub_round_trip_seconds', 'Round trip to the hub, from its calls; 0 before the first', [], () => [
    { labels: {}, value: (hub.status.roundTripMs ?? 0) / 1000 },
  ]);
  const rate = 'What the way to the hub carries; 0 until calls of different sizes were made';
  add('tidegate_hub_bytes_per_second', rate, [], () => [{ labels: {}, value: hub.status.bytesPerSecond ?? 0 }]);
}

function addCaptures(add: AddFamily, status: () => CaptureStatus | undefined): void {
  add('tidegate_captures_total', 'Samples that were kept for the hub', ['model', 'reason'], () =>
    (status()?.captured ?? []).map(({ model, reason, count }) => ({ labels: { model, reason }, value: count })),
  );
  add('tidegate_captures_dropped_total', 'Samples that were given up, by why', ['why'], () =>
    Object.entries(status()?.dropped ?? {}).map(([why, value]) => ({ labels: { why }, value })),
  );
  add('tidegate_captures_sent_total', 'Samples that the hub has acknowledged', [], () => [
    { labels: {}, value: status()?.sent ?? 0 },
  ]);
  add('tidegate_captures_stored_bytes', 'Disk space of samples that wait for the hub', [], () => [
    { labels: {}, value: status()?.waiting.bytes ?? 0 },
  ]);
}

function addTracing(add: AddFamily, tracing: Pick<Tracing, 'counts'>): void {
  add('tidegate_trace_spans_total', 'Spans of traces, by what became of them', ['result'], () =>
    Object.entries(tracing.counts).map(([result, value]) => ({ labels: { result }, value })),
  );
}
