// Triton Inference Server out of PyPI's nvidia-pytriton, which carries the server's binary: a model repository with one model of the
// Python backend, started as the server's own documentation says, without PyTriton's wrapper.
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, startServer } from '../processes.mjs';
import { pythonEnvironment, pythonInfo } from '../python-environment.mjs';
import { inferRequest } from '../requests.mjs';
import { oipFloats } from '../answers.mjs';

const MODEL = fileURLToPath(new URL('triton/model.py', import.meta.url));

async function install(say) {
  const requirements = new URL('triton/requirements.txt', import.meta.url);
  const environment = await pythonEnvironment('triton', requirements, 'pytriton, onnxruntime', say);
  if (environment.missing !== undefined) return environment;
  const { version, packages, libraries, versions } = await pythonInfo(environment.python, [
    'nvidia-pytriton',
    'onnxruntime',
  ]);
  const server = join(packages, 'pytriton/tritonserver');
  const stub = join(server, 'python_backend_stubs', version, 'triton_python_backend_stub');
  try {
    copyFileSync(stub, join(server, 'backends/python/triton_python_backend_stub'));
  } catch (error) {
    return { missing: `its Python backend has no stub for Python ${version}: ${error.message}` };
  }
  const about = `Triton 2.51 out of ${versions}; Python backend, HTTP with binary tensors`;
  return { ...environment, about, server, packages, libraries };
}

async function start({ folder: environment, server, packages, libraries }, model, { folder, instances = 1 }) {
  const { name, file, input, output, shape } = model;
  const repository = mkdtempSync(join(folder, 'triton-'));
  mkdirSync(join(repository, name, '1'), { recursive: true });
  copyFileSync(MODEL, join(repository, name, '1/model.py'));
  const tensor = (tensorName, dims) => `[{ name: "${tensorName}", data_type: TYPE_FP32, dims: [${dims}] }]`;
  const configuration = `backend: "python"
max_batch_size: 0
input ${tensor(input, shape)}
output ${tensor(output.name, output.shape)}
instance_group [{ kind: KIND_CPU, count: ${instances} }]
parameters { key: "model" value: { string_value: "${file}" } }
`;
  writeFileSync(join(repository, name, 'config.pbtxt'), configuration);
  const port = await freePort();
  const started = await startServer(
    join(server, 'bin/tritonserver'),
    [
      `--model-repository=${repository}`,
      `--backend-directory=${join(server, 'backends')}`,
      '--http-address=127.0.0.1',
      `--http-port=${port}`,
      ...['--allow-grpc=false', '--allow-metrics=false', '--disable-auto-complete-config'],
    ],
    {
      env: {
        PATH: `${join(environment, 'bin')}:${process.env.PATH}`,
        PYTHONPATH: packages,
        LD_LIBRARY_PATH: `${join(packages, 'nvidia_pytriton.libs')}:${libraries}`,
      },
      readyUrl: `http://127.0.0.1:${port}/v2/health/ready`,
    },
  );
  return { ...started, host: '127.0.0.1', port, request: inferRequest({ model: name, input, shape }) };
}

export const triton = { install, start, floats: oipFloats };
