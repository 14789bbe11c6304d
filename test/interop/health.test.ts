// gRPC's health protocol by its official clients: grpc-health-check over @grpc/grpc-js, Python's grpcio-health-checking, and
// grpc_health_probe, which Kubernetes' users know.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examplesFolder, startAgent, type AgentProcess } from '../support/agent-process.js';
import { describeWithGo, GO_TIMEOUT_MS, goProgram } from './go-environment.js';
import { nodeEnvironment } from './node-environment.js';
import { runPythonChecks } from './python-checks.js';
import { describeWithPython, pythonEnvironment } from './python-environment.js';

type GrpcJs = typeof import('@grpc/grpc-js');
interface HealthClient {
  check(request: { service: string }, done: (error: { code: number } | null, answer?: unknown) => void): void;
  watch(request: { service: string }): AsyncIterable<unknown> & { cancel(): void };
  close(): void;
}

const run = promisify(execFile);
const MAKE_TIMEOUT_MS = 420_000;
const models = [`${examplesFolder}digits`, fileURLToPath(new URL('../fixtures/onnx/add.onnx', import.meta.url))];

let agent: AgentProcess;
beforeAll(async () => {
  agent = await startAgent(['serve', ...models]);
});
afterAll(() => agent?.stop());

await describeWithPython('Python', 'grpcio-health-checking', (python) => {
  let interpreter: string;
  beforeAll(async () => {
    interpreter = await pythonEnvironment(python, 'grpc-health');
  }, MAKE_TIMEOUT_MS);

  test('grpcio-health-checking', async () => {
    const args = [new URL(agent.url).host, agent.grpcAddress];
    await runPythonChecks('grpcio-health-checking 1.85.1', interpreter, 'health_checks.py', args, 6);
  });
});

await describeWithGo('Go', 'grpc_health_probe', () => {
  let probe: string;
  beforeAll(async () => {
    probe = await goProgram('grpc-health-probe');
  }, GO_TIMEOUT_MS);

  test('grpc_health_probe', async () => {
    const ask = (service: string): Promise<string> =>
      run(probe, [`-addr=${agent.grpcAddress}`, `-service=${service}`]).then(
        ({ stderr }) => stderr,
        ({ code, stderr }: { code: number; stderr: string }) => `exit ${code}: ${stderr}`,
      );
    for (const service of ['', 'digits', 'inference.GRPCInferenceService']) {
      expect(await ask(service)).toMatch(/status: SERVING/);
    }
    expect(await ask('nosuch')).toMatch(/^exit 3: .*NotFound.*nosuch/s);
    console.log('grpc_health_probe 0.4.62: 4 checks passed');
  });
});

test(
  'grpc-health-check over @grpc/grpc-js: Check, Watch, and the end of the server',
  async () => {
    const load = await nodeEnvironment();
    const grpc = load('@grpc/grpc-js') as GrpcJs;
    const { service } = load('grpc-health-check') as {
      readonly service: Parameters<GrpcJs['makeClientConstructor']>[0];
    };
    const Client = grpc.makeClientConstructor(service, 'Health');
    const client = new Client(agent.grpcAddress, grpc.credentials.createInsecure()) as unknown as HealthClient;
    const check = (name: string): Promise<unknown> =>
      new Promise((resolve) => {
        client.check({ service: name }, (error, answer) => resolve(error === null ? answer : error.code));
      });
    for (const name of ['', 'inference.GRPCInferenceService', 'digits']) {
      expect(await check(name)).toEqual({ status: 'SERVING' });
    }
    expect(await check('nosuch')).toBe(grpc.status.NOT_FOUND);
    const told: unknown[] = [];
    const watched = (async () => {
      try {
        for await (const answer of client.watch({ service: 'digits' })) {
          told.push(answer);
          if (told.length === 1) void agent.stop();
        }
      } catch (error) {
        told.push((error as { code: number }).code);
      }
    })();
    await watched;
    expect(told).toEqual([{ status: 'SERVING' }, { status: 'NOT_SERVING' }, grpc.status.UNAVAILABLE]);
    client.close();
    console.log('grpc-health-check 2.1.0 over @grpc/grpc-js 1.14.7: 5 checks passed');
  },
  MAKE_TIMEOUT_MS,
);
