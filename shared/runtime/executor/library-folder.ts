// Where onnxruntime-node keeps ONNX Runtime's own libraries for this platform; a provider that is installed apart lies beside them.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export function libraryFolder(): string {
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  return join(folder, 'bin', 'napi-v6', process.platform, process.arch);
}
