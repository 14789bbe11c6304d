// The agent's WebSocket stream, asked from Python.
import { afterAll, beforeAll, describe, test } from 'vitest';
import { runPythonChecks } from './python-checks.js';
import { findPython, pythonEnvironment } from './python-environment.js';
import { serveAgent, type ServedAgent } from './served-agent.js';

const MAKE_TIMEOUT_MS = 200_000;
const python = await findPython();
if (python === undefined) console.warn('SKIPPED: the stream from Python: this machine has no Python >= 3.11 with venv');

describe.skipIf(python === undefined)('the stream', () => {
  let agent: ServedAgent;
  let tritonclient: string;
  beforeAll(async () => {
    tritonclient = await pythonEnvironment(python ?? '', 'tritonclient');
    agent = await serveAgent();
  }, MAKE_TIMEOUT_MS);
  afterAll(() => agent?.stop());

  test('aiohttp, with frames that tritonclient makes', async () => {
    await runPythonChecks('aiohttp WebSocket', tritonclient, 'stream_checks.py', [agent.address], 17);
  });
});
