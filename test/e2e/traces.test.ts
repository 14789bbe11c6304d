// OpenTelemetry end to end, over real processes and a real receiver: one trace from the caller through the agent's cache, queue and
// executor and over the hop to the hub's own queue and executor; and nothing where nobody asked for traces.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { float32Of, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { examplesFolder, startAgent, type AgentProcess } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.js';

const CALLER = { traceId: 'a1'.repeat(16), spanId: 'b2'.repeat(8), sampled: true, state: 'shop=4711' };
let folder: string;
let receiver: OtlpReceiver;
let hub: HubProcess;
let agent: AgentProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-traces-'));
  receiver = await OtlpReceiver.start();
  const unsure = join(folder, 'unsure');
  await cp(`${examplesFolder}digits`, unsure, { recursive: true });
  const yaml = await readFile(join(unsure, 'model.yaml'), 'utf8');
  const changed = yaml.replace(/^name: .*$/m, 'name: unsure').replace(/threshold: [0-9.]+/, 'threshold: 1');
  await writeFile(join(unsure, 'model.yaml'), changed);
  const traced = ['--otlp-endpoint', receiver.url];
  hub = await startHubProcess(join(folder, 'hub'), traced);
  await runTidegate(hub, ['model', 'publish', unsure]);
  agent = await startAgent(['serve', unsure, '--hub', hub.url, ...traced], {
    environment: { TIDEGATE_HUB_TOKEN: hub.token, TIDEGATE_OTLP_HEADERS: 'authorization=Bearer%20of-the-agent' },
  });
});
afterAll(async () => {
  await Promise.all([agent.stop(), hub.stop()]);
  await receiver.close();
  await rm(folder, { recursive: true, force: true });
});

/** What came of this trace, once `count` spans are there. */
async function spansOf(traceId: string, count: number): Promise<readonly ReceivedSpan[]> {
  const ours = (): readonly ReceivedSpan[] => receiver.spans.filter((span) => span.traceId === traceId);
  await receiver.until(() => ours().length >= count);
  return ours();
}

test('one trace holds the agent with cache, queue and run, the hop, and the hub with its own', async () => {
  const trace = { context: CALLER, span: undefined };
  const answer = await agent.infer('unsure', digitInput(1), { id: 'order-4711', trace });
  expect(answer.provenance.placement).toBe('hub');
  const spans = await spansOf(CALLER.traceId, 9);
  const find = (service: string, name: string): ReceivedSpan => {
    const found = spans.filter((span) => span.service === service && span.name === name);
    expect(found, `${service} ${name}`).toHaveLength(name === 'cache' && service === 'tidegate-agent' ? 2 : 1);
    return found[0] as ReceivedSpan;
  };
  const root = find('tidegate-agent', 'POST /v2/models/{model}/infer');
  const hop = find('tidegate-agent', 'hub');
  const atHub = find('tidegate-hub', 'POST /v2/models/{model}/infer');
  expect(root.parentSpanId).toBe(CALLER.spanId);
  for (const name of ['cache', 'queue', 'run']) expect(find('tidegate-agent', name).parentSpanId).toBe(root.spanId);
  expect(hop.parentSpanId).toBe(root.spanId);
  expect(atHub.parentSpanId).toBe(hop.spanId);
  for (const name of ['load', 'queue', 'run']) expect(find('tidegate-hub', name).parentSpanId).toBe(atHub.spanId);
  expect([root.kind, hop.kind, atHub.kind]).toEqual([2, 3, 2]);
  expect(root.attributes).toMatchObject({
    'http.response.status_code': 200,
    'tidegate.request.id': 'order-4711',
    'tidegate.model.name': 'unsure',
    'tidegate.placement': 'hub',
  });
  expect(root.events.map(({ name }) => name)).toContain('here: the model is on the device');
  const begins = (span: ReceivedSpan): bigint => BigInt(span.startTimeUnixNano);
  const ends = (span: ReceivedSpan): bigint => BigInt(span.endTimeUnixNano);
  for (const span of spans.filter(({ service }) => service === 'tidegate-agent')) {
    expect(begins(span) >= begins(root) && ends(span) <= ends(root), span.name).toBe(true);
    expect(ends(span) >= begins(span)).toBe(true);
  }
  const ofAgent = receiver.requests.filter(({ headers }) => headers['authorization'] === 'Bearer of-the-agent');
  expect(ofAgent.length).toBeGreaterThan(0);
  const { traceId } = await agent.get<{ traceId: string }>('/agent/v1/explain/order-4711');
  expect(traceId).toBe(CALLER.traceId);
});

test('the hub answers generate to whoever has a token, and tells it by its own name', async () => {
  const [image] = digitInput(4);
  const ask = (token: string): Promise<Response> =>
    fetch(`${hub.url}/v2/models/unsure/generate`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, traceparent: `00-${'f6'.repeat(16)}-${CALLER.spanId}-01` },
      body: JSON.stringify({ image: [...float32Of(image as Tensor)] }),
    });
  expect((await ask('nobody')).status).toBe(401);
  const answer = (await (await ask(hub.token)).json()) as Record<string, unknown>;
  expect(answer).toMatchObject({ model_name: 'unsure', parameters: { placement: 'hub' }, label: expect.any(String) });
  const spans = await spansOf('f6'.repeat(16), 3);
  expect(spans.map(({ name }) => name)).toContain('POST /v2/models/{model}/generate');
});

test('a cached answer and a refusal are traced too; what the caller does not want traced is not', async () => {
  const context = { ...CALLER, traceId: 'c3'.repeat(16) };
  await agent.infer('unsure', digitInput(1), { placement: 'local', trace: { context, span: undefined } });
  const wrong = agent.infer('unsure', digitInput(1).slice(1), { trace: { context, span: undefined } });
  await expect(wrong).rejects.toMatchObject({ code: 'invalid-argument' });
  const quiet = { ...context, traceId: 'd4'.repeat(16), sampled: false };
  await agent.infer('unsure', digitInput(2), { trace: { context: quiet, span: undefined } });
  const spans = await spansOf(context.traceId, 3);
  const cache = spans.find(({ name }) => name === 'cache');
  expect(cache?.attributes).toEqual({ 'tidegate.cache.result': 'hit', 'tidegate.cache.layer': 'memory' });
  const refused = spans.find(({ attributes }) => attributes['error.type'] !== undefined);
  expect(refused?.attributes).toMatchObject({ 'http.response.status_code': 400, 'error.type': 'invalid-argument' });
  expect(refused?.status).toBeUndefined(); // the caller's mistake is no error of the server
  expect(receiver.spans.filter(({ traceId }) => traceId === quiet.traceId)).toEqual([]);
  await expect.poll(() => agent.metric('tidegate_trace_spans_total{result="exported"}')).toBeGreaterThanOrEqual(8);
  expect(await (await fetch(`${hub.url}/metrics`)).text()).toMatch(
    /^tidegate_trace_spans_total\{result="exported"\} \d/m,
  );
});

test('requests that shared a run are linked to each other, each in its own trace', async () => {
  const contextOf = (seed: number) => ({ ...CALLER, traceId: seed.toString(16).padStart(32, 'f') });
  const shared = (): readonly ReceivedSpan[] => receiver.spans.filter(({ links = [] }) => links.length > 0);
  for (let seed = 1; shared().length === 0 && seed < 2000; seed += 64) {
    const asked = Array.from({ length: 64 }, (_, i) =>
      agent.infer('unsure', digitInput(seed + i), {
        placement: 'local',
        cache: 'bypass',
        trace: { context: contextOf(seed + i), span: undefined },
      }),
    );
    await Promise.all(asked);
    const { traceId } = contextOf(seed + 63);
    await receiver.until((spans) => spans.some((span) => span.traceId === traceId && span.kind === 2));
  }
  const [run] = shared();
  const { links = [], attributes, traceId } = run as ReceivedSpan;
  expect(run).toMatchObject({ name: 'run', service: 'tidegate-agent' });
  expect(links).toHaveLength(Number(attributes['tidegate.batch.rows']) - Number(attributes['tidegate.rows']));
  await receiver.until((spans) => links.every((link) => spans.some(({ spanId }) => spanId === link.spanId)));
  for (const link of links) {
    const other = receiver.spans.find(({ spanId }) => spanId === link.spanId);
    expect(other).toMatchObject({ kind: 2, traceId: link.traceId });
    expect(link.traceId).not.toBe(traceId);
  }
});

test('without an endpoint nothing is told, and the trace of the caller is passed on', async () => {
  const quiet = await startAgent(['serve', join(folder, 'unsure'), '--hub', hub.url], {
    environment: { TIDEGATE_HUB_TOKEN: hub.token },
  });
  const context = { ...CALLER, traceId: 'e5'.repeat(16) };
  await quiet.infer('unsure', digitInput(3), { trace: { context, span: undefined } });
  const spans = await spansOf(context.traceId, 3);
  expect(new Set(spans.map(({ service }) => service))).toEqual(new Set(['tidegate-hub']));
  expect(spans.find(({ kind }) => kind === 2)?.parentSpanId).toBe(CALLER.spanId);
  await quiet.stop();
});
