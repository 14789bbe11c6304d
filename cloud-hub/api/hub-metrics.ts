// The hub's Prometheus metrics. Names carry units; labels have few values.
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { SpanCounts } from '@tidegate/shared/tracing/otlp-exporter.js';
import type { SharedAnswers } from '../shared-cache/shared-answers.js';

/** What a path of the hub's port belongs to. */
export type Area = 'api' | 'v2' | 'metrics' | 'console';

interface HubGauges {
  readonly loadedModels: () => number;
  readonly liveClients: () => number;
  readonly connectedDevices: () => number;
  readonly inferencesInFlight: () => number;
  /** Undefined where the hub shares none. */
  readonly sharedAnswers: () => SharedAnswers['counts'] | undefined;
  /** Undefined where requests are not traced. */
  readonly spans: () => SpanCounts | undefined;
}

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
    gauge('tidegate_hub_loaded_models', 'Model versions that are loaded for inference.', gauges.loadedModels);
    gauge('tidegate_hub_live_clients', 'Clients of the live channel.', gauges.liveClients);
    gauge('tidegate_hub_connected_devices', 'Devices that are connected to the broker.', gauges.connectedDevices);
    gauge(
      'tidegate_hub_inferences_in_flight',
      'Inference requests that are being answered.',
      gauges.inferencesInFlight,
    );
    const spans: Counter<'result'> = new Counter({
      name: 'tidegate_trace_spans_total',
      help: 'Spans of traces, by what became of them.',
      labelNames: ['result'],
      registers,
      collect: () => {
        spans.reset();
        for (const [result, value] of Object.entries(gauges.spans() ?? {})) spans.inc({ result }, value);
      },
    });
    for (const [name, [help, field]] of Object.entries(SHARED_FAMILIES)) {
      const options = { name, help, registers };
      const read = (): number => gauges.sharedAnswers()?.[field] ?? 0;
      const made: Counter | Gauge = name.endsWith('_total')
        ? new Counter({ ...options, collect: () => (made.reset(), made.inc(read())) })
        : new Gauge({ ...options, collect: () => (made.reset(), made.inc(read())) });
    }
  }

  answered(area: Area, status: number): void {
    this.#requests.inc({ area, status: `${Math.floor(status / 100)}xx` });
  }

  async text(): Promise<{ text: string; type: string }> {
    return { text: await this.#registry.metrics(), type: this.#registry.contentType };
  }
}
