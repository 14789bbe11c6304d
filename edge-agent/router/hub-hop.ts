// A call of the hub within a trace: under a span of its own, which the hub's spans are children of.
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Span } from '@tidegate/shared/tracing/span.js';
import type { HubClient } from './hub-client.js';

/** `parent`: undefined where the request is not traced. Rejects as HubClient.ask. */
export async function askUnderSpan(
  hub: Pick<HubClient, 'ask' | 'status'>,
  request: InferRequest,
  waitMs: number,
  parent: Span | undefined,
  signal: AbortSignal,
): Promise<InferAnswer> {
  const attributes = { 'http.request.method': 'POST', 'tidegate.model.name': request.model };
  const span = parent?.child('hub', { kind: 'client', attributes });
  if (span === undefined) return hub.ask(request, waitMs, signal);
  try {
    const answer = await hub.ask({ ...request, trace: { context: span.context, span } }, waitMs, signal);
    span.end({ attributes: { 'url.full': hub.status.url, 'http.response.status_code': 200 } });
    return answer;
  } catch (error) {
    const code = error instanceof ServingError ? error.code : 'failed';
    const message = error instanceof Error ? error.message : String(error);
    span.end({ attributes: { 'url.full': hub.status.url, 'error.type': code }, error: message });
    throw error;
  }
}
