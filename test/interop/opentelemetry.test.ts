// What an agent tells OpenTelemetry, over HTTP and gRPC, read by the protocol's own messages.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, test } from 'vitest';
import { readTraceContext } from '@tidegate/shared/tracing/trace-context.js';
import { examplesFolder, startAgent } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';
import { GrpcClient } from '../support/grpc-client.js';
import { OtlpReceiver } from '../support/otlp-receiver.js';
import { temporaryFolders } from '../support/temporary-folder.js';
import { runPythonChecks } from './python-checks.js';
import { describeWithPython, pythonEnvironment } from './python-environment.js';

const MAKE_TIMEOUT_MS = 200_000;
const CALLER = { traceparent: `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`, tracestate: 'shop=4711' };
const folder = temporaryFolders('opentelemetry');

await describeWithPython('OpenTelemetry', 'opentelemetry-proto', (python) => {
  let messages: string;
  beforeAll(async () => {
    messages = await pythonEnvironment(python, 'opentelemetry');
  }, MAKE_TIMEOUT_MS);

  test('opentelemetry-proto reads what was sent', async () => {
    const receiver = await OtlpReceiver.start();
    const agent = await startAgent(['serve', join(examplesFolder, 'digits'), '--otlp-endpoint', receiver.url]);
    const context = readTraceContext(CALLER);
    if (context === undefined) throw new Error('the trace is well formed');
    await agent.infer('digits', digitInput(1), { trace: { context, span: undefined } });
    const client = new GrpcClient(agent.grpcAddress);
    const [image] = digitInput(2);
    const { name, datatype, shape, data } = image as NonNullable<typeof image>;
    const request = { model_name: 'digits', inputs: [{ name, datatype, shape }], raw_input_contents: [data] };
    await client.call('ModelInfer', request, { metadata: CALLER });
    client.close();
    await agent.stop();
    await receiver.close();
    const bodies = join(folder(), 'bodies.jsonl');
    await writeFile(bodies, receiver.requests.map(({ body }) => `${body}\n`).join(''));
    await runPythonChecks('opentelemetry-proto 1.45.2', messages, 'opentelemetry_checks.py', [bodies], 3);
  });
});
