// Tracing as the settings ask for it. Without --otlp-endpoint there is none: nothing is loaded, and serving asks one question.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../system/clock.js';
import type { Log } from '../system/log.js';
import { systemRandom } from '../system/random.js';
import type { SERVER_SETTINGS } from '../system/server-settings.js';
import type { SettingsOf } from '../system/settings.js';
import type { SpanCounts } from './otlp-exporter.js';
import { Tracer } from './span.js';

interface OpenTracingParts {
  /** `tidegate-agent`. */
  readonly service: string;
  readonly version: string;
  /** Which one of them; a name of its own for this process where none is given. */
  readonly instance?: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Tracing {
  readonly tracer: Tracer;
  readonly counts: SpanCounts;
  /** Sends what waits, within some seconds. */
  close(): Promise<void>;
}

/** How long the end of the program may wait for a receiver. */
const CLOSE_WITHIN_MS = 3000;

/** Undefined where no endpoint is set. */
export async function openTracing(
  settings: Pick<SettingsOf<typeof SERVER_SETTINGS>, 'otlpEndpoint' | 'otlpHeaders' | 'traceSample'>,
  { service, version, instance = randomUUID(), clock, log }: OpenTracingParts,
): Promise<Tracing | undefined> {
  const { otlpEndpoint: endpoint, otlpHeaders: headers, traceSample } = settings;
  if (endpoint === undefined) return undefined;
  const { OtlpExporter } = await import('./otlp-exporter.js');
  const attributes = { 'service.name': service, 'service.version': version, 'service.instance.id': instance };
  const modules = { clock, random: systemRandom, log };
  const exporter = new OtlpExporter({ endpoint, headers: headers ?? {}, teller: { version, attributes } }, modules);
  return {
    tracer: new Tracer(traceSample, { clock, random: systemRandom, take: (span) => exporter.add(span) }),
    get counts() {
      return exporter.counts;
    },
    close: () => exporter.close(CLOSE_WITHIN_MS),
  };
}
