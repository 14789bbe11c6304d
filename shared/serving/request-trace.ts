// What a request tells to tracing: the server's own span around it, in the words of the protocol that it came by, what was asked
// and answered, and the runs of graphs that were made for it. Shared by agent and hub, so that both tell alike.
import type { Attributes, RequestTrace, Span, Tracer } from '../tracing/span.js';
import { readTraceContext } from '../tracing/trace-context.js';
import type { InferAnswer, InferenceService, InferRequest } from './inference-service.js';
import type { RunFacts } from './evaluate-request.js';
import { HTTP_STATUS, ServingError, type ServingErrorCode } from './serving-error.js';

/** The way by which a request came in. */
export interface Entrance {
  /** Of few values, as OpenTelemetry wants names of spans. */
  readonly name: string;
  readonly attributes: Attributes;
  /** How this protocol says how the request ended. */
  readonly ended: (code: 'ok' | ServingErrorCode) => Attributes;
}

const httpStatus = (code: 'ok' | ServingErrorCode): number => (code === 'ok' ? 200 : HTTP_STATUS[code]);

function overHttp(call: string): Entrance {
  const route = `/v2/models/{model}/${call}`;
  return {
    name: `POST ${route}`,
    attributes: { 'http.request.method': 'POST', 'http.route': route },
    ended: (code) => ({ 'http.response.status_code': httpStatus(code) }),
  };
}

export const OVER_HTTP = {
  infer: overHttp('infer'),
  generate: overHttp('generate'),
  'generate-stream': overHttp('generate_stream'),
} as const;

/** The headers are those that opened the connection: all its requests are in the trace that it brought. */
export const OVER_WEBSOCKET: Entrance = {
  name: 'frame /v2/stream',
  attributes: { 'network.protocol.name': 'websocket', 'http.route': '/v2/stream' },
  ended: () => ({}),
};

/** Undefined where there is neither a tracer nor a trace that the caller brought. */
export function requestTrace(
  tracer: Tracer | undefined,
  headers: Parameters<typeof readTraceContext>[0],
  { name, attributes }: Entrance,
  arrivedMs: number,
): RequestTrace | undefined {
  const parent = readTraceContext(headers);
  if (tracer !== undefined) return tracer.begin(parent, name, { kind: 'server', startMs: arrivedMs, attributes });
  return parent && { context: parent, span: undefined };
}

/** Does `work` and ends the span with it. Rejects as it does. */
export function inTrace<T>(trace: RequestTrace | undefined, entrance: Entrance, work: () => Promise<T>): Promise<T> {
  const span = trace?.span;
  return span === undefined ? work() : recorded(span, entrance, work);
}

async function recorded<T>(span: Span, { ended }: Entrance, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    span.end({ attributes: ended('ok') });
    return result;
  } catch (error) {
    const code = error instanceof ServingError ? error.code : 'failed';
    const ours = httpStatus(code) >= 500; // else the request was wrong, and this server did well
    const message = error instanceof ServingError ? error.message : 'internal error';
    span.end({ attributes: { ...ended(code), 'error.type': code }, error: ours ? message : undefined });
    throw error;
  }
}

/** Asks, and notes in the request's span what was asked and who answered. Rejects as `infer`. */
export function inferTraced(
  service: InferenceService,
  request: InferRequest,
  signal: AbortSignal,
): Promise<InferAnswer> {
  const span = request.trace?.span;
  return span === undefined ? service.infer(request, signal) : noted(span, service, request, signal);
}

async function noted(
  span: Span,
  service: InferenceService,
  request: InferRequest,
  signal: AbortSignal,
): Promise<InferAnswer> {
  span.set({ 'tidegate.model.name': request.model, 'tidegate.request.id': request.id });
  const answer = await service.infer(request, signal);
  const { placement, reason, cacheLayer, modelDigest, variant, queueUs, computeUs } = answer.provenance;
  span.set({
    'tidegate.model.version': answer.version,
    'tidegate.model.digest': modelDigest,
    'tidegate.model.variant': variant,
    'tidegate.placement': placement,
    'tidegate.reason': reason,
    'tidegate.cache.layer': cacheLayer,
    'tidegate.queue_us': queueUs,
    'tidegate.compute_us': computeUs,
  });
  return answer;
}

/**
 * A run that has just ended for this request, as two spans: its wait in the queue, and its batch in the executor. The way
 * between the processes is counted to the wait, since only lengths are known and the end. A run that others shared has a link to
 * the request's span of each of them, as OpenTelemetry wants what works on several messages to have.
 */
export function traceRun(parent: Span, { graph, queueUs, computeUs, rows, batchRows, traces }: RunFacts): void {
  const endMs = parent.nowMs;
  const ranMs = endMs - computeUs / 1000;
  const attributes = { 'tidegate.graph': graph };
  parent.child('queue', { startMs: ranMs - queueUs / 1000, attributes }).end({ endMs: ranMs });
  const run = { ...attributes, 'tidegate.rows': rows, 'tidegate.batch.rows': batchRows };
  const others = new Map(traces.map((context) => [context.spanId, context])); // items of one request may share a run
  others.delete(parent.context.spanId);
  parent.child('run', { startMs: ranMs, attributes: run, links: [...others.values()] }).end({ endMs });
}
