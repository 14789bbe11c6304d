// BentoML serving bentoml/service.py with one worker.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rawFloats } from '../answers.mjs';
import { freePort, startServer } from '../processes.mjs';
import { pythonEnvironment, pythonInfo } from '../python-environment.mjs';
import { rawRequest } from '../requests.mjs';

const SERVICE = fileURLToPath(new URL('bentoml', import.meta.url));

async function install(say) {
  const requirements = new URL('bentoml/requirements.txt', import.meta.url);
  const environment = await pythonEnvironment('bentoml', requirements, 'bentoml, onnxruntime', say);
  if (environment.missing !== undefined) return environment;
  const { versions } = await pythonInfo(environment.python, ['bentoml', 'onnxruntime']);
  return { ...environment, about: `${versions}; one worker, a mounted ASGI route, raw float32 in and out` };
}

async function start({ folder: environment }, { file, shape }, { folder }) {
  const port = await freePort();
  const args = ['serve', 'service:Peer', '--working-dir', SERVICE, '--host', '127.0.0.1', '--port', String(port)];
  const started = await startServer(join(environment, 'bin/bentoml'), args, {
    env: {
      PATH: `${join(environment, 'bin')}:${process.env.PATH}`,
      BENTOML_HOME: join(folder, 'bentoml'),
      BENTOML_DO_NOT_TRACK: 'True',
      BENCH_MODEL: file,
      BENCH_SHAPE: JSON.stringify(shape),
    },
    readyUrl: `http://127.0.0.1:${port}/readyz`,
  });
  return { ...started, host: '127.0.0.1', port, request: rawRequest('/raw/infer', shape) };
}

export const bentoml = { install, start, floats: rawFloats };
