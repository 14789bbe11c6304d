// The hub's Prometheus metrics. Names carry units; labels have few values.
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';

/** What a path of the hub's port belongs to. */
export type Area = 'api' | 'v2' | 'metrics' | 'console';

interface HubGauges {
  readonly loadedModels: () => number;
  readonly liveClients: () => number;
  readonly connectedDevices: () => number;
  readonly inferencesInFlight: () => number;
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
    gauge('tidegate_hub_loaded_models', 'Model versions that are loaded for inference.', gauges.loadedModels);
    gauge('tidegate_hub_live_clients', 'Clients of the live channel.', gauges.liveClients);
    gauge('tidegate_hub_connected_devices', 'Devices that are connected to the broker.', gauges.connectedDevices);
    gauge(
      'tidegate_hub_inferences_in_flight',
      'Inference requests that are being answered.',
      gauges.inferencesInFlight,
    );
  }

  answered(area: Area, status: number): void {
    this.#requests.inc({ area, status: `${Math.floor(status / 100)}xx` });
  }

  async text(): Promise<{ text: string; type: string }> {
    return { text: await this.#registry.metrics(), type: this.#registry.contentType };
  }
}
