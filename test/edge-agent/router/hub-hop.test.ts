import { describe, expect, it } from 'vitest';
import { askUnderSpan } from '@tidegate/edge-agent/router/hub-hop.js';
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { ServingError } from '@tidegate/shared/serving/serving-error.js';
import type { Span } from '@tidegate/shared/tracing/span.js';

const { signal } = new AbortController();
const request = { model: 'm' } as InferRequest;

function setUp(error?: Error) {
  const ended: unknown[] = [];
  const child = { context: { traceId: 't' }, end: (end: unknown) => ended.push(end) };
  const named: unknown[] = [];
  const parent = { child: (...made: unknown[]) => (named.push(made), child) } as unknown as Span;
  const asked: InferRequest[] = [];
  const hub = {
    status: { url: 'http://hub' },
    ask: async (given: InferRequest) => {
      asked.push(given);
      if (error !== undefined) throw error;
      return { model: 'm' } as InferAnswer;
    },
  } as unknown as Parameters<typeof askUnderSpan>[0];
  return { ended, named, parent, asked, hub };
}

describe('askUnderSpan', () => {
  it('asks as it is where nobody traces', async () => {
    const { asked, hub } = setUp();
    await askUnderSpan(hub, request, 10, undefined, signal);
    expect(asked[0]).toBe(request);
  });

  it('has the hub go on under a span of its own, and ends it', async () => {
    const { ended, named, parent, asked, hub } = setUp();
    await askUnderSpan(hub, request, 10, parent, signal);
    expect(named).toMatchObject([['hub', { kind: 'client', attributes: { 'tidegate.model.name': 'm' } }]]);
    expect(asked[0]?.trace?.context).toEqual({ traceId: 't' });
    expect(ended).toMatchObject([{ attributes: { 'url.full': 'http://hub', 'http.response.status_code': 200 } }]);
  });

  it('ends it with the error', async () => {
    const { ended, parent, hub } = setUp(new ServingError('queue-full', 'full'));
    await expect(askUnderSpan(hub, request, 10, parent, signal)).rejects.toMatchObject({ code: 'queue-full' });
    expect(ended).toMatchObject([{ attributes: { 'error.type': 'queue-full' }, error: 'full' }]);
  });
});
