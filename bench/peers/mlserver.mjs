// MLServer with a custom runtime (mlserver/runtime.py). Inference in the server's own process (parallel_workers 0), which spares each
// tensor the way through the queues of a worker pool.
import { copyFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, startServer } from '../processes.mjs';
import { pythonEnvironment, pythonInfo } from '../python-environment.mjs';
import { httpRequest, inputValues } from '../requests.mjs';

const RUNTIME = fileURLToPath(new URL('mlserver/runtime.py', import.meta.url));

async function install(say) {
  const requirements = new URL('mlserver/requirements.txt', import.meta.url);
  const environment = await pythonEnvironment('mlserver', requirements, 'mlserver, onnxruntime', say);
  if (environment.missing !== undefined) return environment;
  const { versions } = await pythonInfo(environment.python, ['mlserver', 'onnxruntime']);
  return {
    ...environment,
    about: `${versions}; custom runtime, parallel_workers 0, REST with base64 tensors`,
  };
}

async function start({ folder: environment }, { name, file, input, shape }, { folder }) {
  const place = mkdtempSync(join(folder, 'mlserver-'));
  const [http_port, grpc_port, metrics_port] = [await freePort(), await freePort(), await freePort()];
  const settings = { host: '127.0.0.1', http_port, grpc_port, metrics_port, parallel_workers: 0, debug: false };
  const model = { name, implementation: 'runtime.OnnxModel', parameters: { uri: file, extra: { shape } } };
  copyFileSync(RUNTIME, join(place, 'runtime.py'));
  writeFileSync(join(place, 'settings.json'), JSON.stringify(settings));
  writeFileSync(join(place, 'model-settings.json'), JSON.stringify(model));
  const started = await startServer(join(environment, 'bin/mlserver'), ['start', '.'], {
    cwd: place,
    readyUrl: `http://127.0.0.1:${http_port}/v2/models/${name}/ready`,
  });
  const data = [Buffer.from(inputValues(shape).buffer).toString('base64')];
  const body = {
    inputs: [{ name: input, datatype: 'BYTES', shape: [1], parameters: { content_type: 'base64' }, data }],
  };
  const request = httpRequest({
    path: `/v2/models/${name}/infer`,
    headers: [['Content-Type', 'application/json']],
    body: Buffer.from(JSON.stringify(body)),
  });
  return { ...started, host: '127.0.0.1', port: http_port, request };
}

function floats(_headers, body) {
  const bytes = Buffer.from(JSON.parse(body.toString()).outputs[0].data[0], 'base64');
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

export const mlserver = { install, start, floats };
