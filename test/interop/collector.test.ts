// The OpenTelemetry Collector itself, with its own OTLP receiver and exporter, between an agent and a receiver: what comes out of it
// is what was sent, whole.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examplesFolder, startAgent, type AgentProcess } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.js';
import { describeWithGo, GO_TIMEOUT_MS, goProgram } from './go-environment.js';

const ROUNDS_MAX = 30;
const AT_ONCE = 64;
const OF_A_REQUEST = ['POST /v2/models/{model}/infer', 'queue', 'run'];

await describeWithGo('OpenTelemetry', 'the OpenTelemetry Collector', () => {
  let receiver: OtlpReceiver;
  let collector: ChildProcess;
  let agent: AgentProcess;
  beforeAll(async () => {
    receiver = await OtlpReceiver.start();
    const started = await startCollector(await goProgram('collector'), receiver.url);
    collector = started.process;
    agent = await startAgent(['serve', `${examplesFolder}digits`, '--otlp-endpoint', started.url]);
  }, GO_TIMEOUT_MS);
  afterAll(async () => {
    await agent?.stop();
    const ended = collector && once(collector, 'exit');
    collector?.kill();
    await ended;
    await receiver?.close();
  });

  const contextOf = (seed: number) => ({
    traceId: seed.toString(16).padStart(32, 'a'),
    spanId: 'b2'.repeat(8),
    sampled: true,
    state: 'shop=4711',
  });
  let asked = 0;
  const ask = (seed: number): Promise<unknown> => {
    asked++;
    return agent.infer('digits', digitInput(seed), {
      id: `order "${seed}" – ü`,
      cache: 'bypass',
      trace: { context: contextOf(seed), span: undefined },
    });
  };
  const serverSpan = (seed: number): ReceivedSpan | undefined =>
    receiver.spans.find((span) => span.kind === 2 && span.traceId === contextOf(seed).traceId);

  test('spans, events, attributes, states and links arrive whole, and every span does', async () => {
    await expect(agent.infer('digits', [], { trace: { context: contextOf(1), span: undefined } })).rejects.toThrow();
    await ask(2);
    const linked = (): readonly ReceivedSpan[] => receiver.spans.filter(({ links = [] }) => links.length > 0);
    for (let round = 1; linked().length === 0 && round <= ROUNDS_MAX; round++) {
      const seeds = Array.from({ length: AT_ONCE }, (_, i) => round * AT_ONCE + i);
      await Promise.all(seeds.map(ask));
      await receiver.until(() => seeds.every((seed) => serverSpan(seed) !== undefined));
    }
    const [run] = linked();
    expect(run).toMatchObject({
      name: 'run',
      service: 'tidegate-agent',
      attributes: { 'tidegate.graph': 'digits.onnx' },
    });
    const { links = [], attributes } = run as ReceivedSpan;
    expect(links).toHaveLength(Number(attributes['tidegate.batch.rows']) - 1);
    for (const { spanId, traceId } of links) {
      await receiver.until((spans) => spans.some((span) => span.spanId === spanId && span.traceId === traceId));
    }
    const refused = serverSpan(1);
    expect(refused?.attributes).toMatchObject({ 'error.type': 'invalid-argument', 'http.response.status_code': 400 });
    const root = serverSpan(2) as ReceivedSpan;
    expect(root).toMatchObject({
      name: OF_A_REQUEST[0],
      parentSpanId: 'b2'.repeat(8),
      traceState: 'shop=4711',
      attributes: {
        'tidegate.request.id': 'order "2" – ü',
        'tidegate.model.name': 'digits',
        'tidegate.placement': 'edge',
      },
    });
    expect(root.events.map(({ name }) => name)).toContain('here: the model is on the device');
    for (const name of OF_A_REQUEST.slice(1)) {
      const child = receiver.spans.find((span) => span.parentSpanId === root.spanId && span.name === name);
      expect(BigInt(child?.startTimeUnixNano ?? 0) >= BigInt(root.startTimeUnixNano), name).toBe(true);
      expect(BigInt(child?.endTimeUnixNano ?? 0) <= BigInt(root.endTimeUnixNano), name).toBe(true);
    }
    const sent = asked * OF_A_REQUEST.length + 1; // of the refused one, only its own
    await receiver.until((spans) => spans.length >= sent);
    expect(receiver.spans).toHaveLength(sent);
    for (const result of ['failed', 'dropped']) {
      expect(await agent.metric(`tidegate_trace_spans_total{result="${result}"}`)).toBe(0);
    }
    console.log(
      `the OpenTelemetry Collector 0.165.0: ${sent} spans arrived, ${links.length} links on the first shared run`,
    );
  });
});

/** Its receiver takes a free port and tells it in its log. */
async function startCollector(program: string, target: string): Promise<{ process: ChildProcess; url: string }> {
  const config = {
    receivers: { otlp: { protocols: { http: { endpoint: '127.0.0.1:0' } } } },
    exporters: { otlp_http: { endpoint: target, encoding: 'json', compression: 'none' } },
    service: {
      telemetry: { metrics: { level: 'none' }, logs: { encoding: 'json' } },
      pipelines: { traces: { receivers: ['otlp'], exporters: ['otlp_http'] } },
    },
  };
  const process = spawn(program, ['--config', `yaml:${JSON.stringify(config)}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  const address = await new Promise<string>((resolve, reject) => {
    process.once('error', reject);
    process.once('exit', (code) => reject(new Error(`the Collector ended with ${code}:\n${log}`)));
    createInterface(process.stderr).on('line', (line) => {
      log += `${line}\n`;
      const found = /"Starting HTTP server".*"endpoint":"([^"]+)"/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return { process, url: `http://${address}` };
}
