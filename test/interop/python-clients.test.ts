// Unmodified Python clients of the Open Inference Protocol against a real agent process.
import { afterAll, beforeAll, test } from 'vitest';
import { runPythonChecks } from './python-checks.js';
import { describeWithPython, pythonEnvironment } from './python-environment.js';
import { serveAgent, type ServedAgent } from './served-agent.js';

const MAKE_TIMEOUT_MS = 420_000;

const CLIENTS = 'tritonclient (http, http.aio, grpc, grpc.aio), KServe, requests with sseclient-py';

await describeWithPython('Python clients', CLIENTS, (python) => {
  let agent: ServedAgent;
  let tritonclient: string;
  let tritonclientGrpc: string;
  let kserve: string;
  let generate: string;
  beforeAll(async () => {
    tritonclient = await pythonEnvironment(python, 'tritonclient');
    tritonclientGrpc = await pythonEnvironment(python, 'tritonclient-grpc');
    kserve = await pythonEnvironment(python, 'kserve');
    generate = await pythonEnvironment(python, 'generate');
    agent = await serveAgent();
  }, MAKE_TIMEOUT_MS);
  afterAll(() => agent?.stop());

  test('tritonclient.http', async () => {
    const args = ['http', agent.address, agent.pictures];
    await runPythonChecks('tritonclient.http 2.73.0', tritonclient, 'tritonclient_checks.py', args, 114);
  });

  test('tritonclient.http.aio', async () => {
    const args = ['aio', agent.address, agent.pictures];
    await runPythonChecks('tritonclient.http.aio 2.73.0', tritonclient, 'tritonclient_checks.py', args, 114);
  });

  test('tritonclient.grpc', async () => {
    const args = ['grpc', agent.grpcAddress, agent.pictures];
    await runPythonChecks('tritonclient.grpc 2.73.0', tritonclientGrpc, 'tritonclient_grpc_checks.py', args, 59);
  });

  test('tritonclient.grpc.aio', async () => {
    const args = ['aio', agent.grpcAddress, agent.pictures];
    await runPythonChecks('tritonclient.grpc.aio 2.73.0', tritonclientGrpc, 'tritonclient_grpc_checks.py', args, 59);
  });

  test('KServe InferenceRESTClient', async () => {
    const args = [agent.address, agent.pictures];
    await runPythonChecks('KServe InferenceRESTClient 0.21.0', kserve, 'kserve_checks.py', args, 30);
  });

  test('generate, by requests and sseclient-py', async () => {
    await runPythonChecks('requests and sseclient-py 1.9.0', generate, 'generate_checks.py', [agent.address], 7);
  });
});
