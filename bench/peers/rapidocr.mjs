// RapidOCR, the OCR row's peer: no server, a Python process that rapidocr/read_pictures.py runs with its own defaults.
import { fileURLToPath } from 'node:url';
import { startProgram } from '../processes.mjs';
import { pythonEnvironment, pythonInfo } from '../python-environment.mjs';

const SCRIPT = fileURLToPath(new URL('rapidocr/read_pictures.py', import.meta.url));

async function install(say) {
  const requirements = new URL('rapidocr/requirements.txt', import.meta.url);
  const environment = await pythonEnvironment('rapidocr', requirements, 'rapidocr_onnxruntime', say);
  if (environment.missing !== undefined) return environment;
  const { versions } = await pythonInfo(environment.python, ['rapidocr-onnxruntime', 'onnxruntime']);
  return { ...environment, about: `${versions}; in a Python process, its defaults` };
}

/** With the folder of the three graphs; asked with a picture's path, answers `{ ms }`. */
const start = ({ python }, models) => startProgram(python, [SCRIPT, models]);

export const rapidocr = { install, start };
