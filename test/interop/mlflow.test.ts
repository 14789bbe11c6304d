// MLflow's unmodified Python client against a real hub process: it logs runs, searches them, and reads a model that was published.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, test } from 'vitest';
import { examplesFolder } from '../support/agent-process.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';
import { runPythonChecks } from './python-checks.js';
import { describeWithPython, pythonEnvironment } from './python-environment.js';

const MAKE_TIMEOUT_MS = 420_000;

await describeWithPython('MLflow’s Python client', 'mlflow-skinny', (python) => {
  let folder: string;
  let hub: HubProcess;
  let mlflow: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tidegate-mlflow-'));
    mlflow = await pythonEnvironment(python, 'mlflow');
    hub = await startHubProcess(join(folder, 'hub'));
    await runTidegate(hub, ['model', 'publish', join(examplesFolder, 'digits')]);
  }, MAKE_TIMEOUT_MS);
  afterAll(async () => {
    await hub?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('logs runs, searches them, reads the registry', async () => {
    const environment = {
      MLFLOW_TRACKING_URI: hub.url,
      MLFLOW_TRACKING_TOKEN: hub.token,
      MLFLOW_DISABLE_TELEMETRY: 'true', // the client's own, to its makers
    };
    await runPythonChecks('mlflow-skinny 3.17.2', mlflow, 'mlflow_checks.py', ['digits'], 14, environment);
  });
});
