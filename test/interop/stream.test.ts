// The agent's WebSocket stream, asked from Python.
import { afterAll, beforeAll, test } from 'vitest';
import { runPythonChecks } from './python-checks.js';
import { describeWithPython, pythonEnvironment } from './python-environment.js';
import { serveAgent, type ServedAgent } from './served-agent.js';

const MAKE_TIMEOUT_MS = 200_000;

await describeWithPython('the stream', 'aiohttp WebSocket', (python) => {
  let agent: ServedAgent;
  let tritonclient: string;
  beforeAll(async () => {
    tritonclient = await pythonEnvironment(python, 'tritonclient');
    agent = await serveAgent();
  }, MAKE_TIMEOUT_MS);
  afterAll(() => agent?.stop());

  test('aiohttp, with frames that tritonclient makes', async () => {
    await runPythonChecks('aiohttp WebSocket', tritonclient, 'stream_checks.py', [agent.address], 19);
  });
});
