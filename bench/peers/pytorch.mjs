// PyTorch, the training row's peer: ../training/torch_step.py on the CPU. Some 3 GB to fetch: its Linux wheel brings CUDA along.
import { fileURLToPath } from 'node:url';
import { startProgram } from '../processes.mjs';
import { pythonEnvironment, pythonInfo } from '../python-environment.mjs';

const SCRIPT = fileURLToPath(new URL('../training/torch_step.py', import.meta.url));

async function install(say) {
  const requirements = new URL('../training/requirements.txt', import.meta.url);
  const environment = await pythonEnvironment('training', requirements, 'torch', say);
  if (environment.missing !== undefined) return environment;
  const { versions } = await pythonInfo(environment.python, ['torch']);
  return { ...environment, about: `${versions}; on the CPU, fused AdamW` };
}

/** With `[network, threads]`; asked with milliseconds, answers steps a second. */
const start = ({ python }, args) => startProgram(python, [SCRIPT, ...args]);

export const pytorch = { install, start };
