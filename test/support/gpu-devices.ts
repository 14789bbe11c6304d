// The GPUs that tests can run on: a real one wherever there is one, else SwiftShader, a Vulkan device in software that Debian's
// chromium brings along: right, though a thousand times slower.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Provider } from '@tidegate/shared/runtime/engine.js';

const SOFTWARE_DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json';
/** Where NVIDIA's containers mount a driver that the Vulkan loader doesn't look for. */
const MOUNTED_DRIVER = '/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json';
const DRIVER_FOLDERS = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'];
const DEVICES = ['/dev/nvidia0', '/dev/dri/renderD128', '/dev/dxg'];
const CUDA_LIBRARY = 'libonnxruntime_providers_cuda.so';

export interface GpuDevice {
  readonly provider: Exclude<Provider, 'cpu'>;
  /** A real one can be measured; on the other only results count. */
  readonly kind: 'real' | 'software';
  /** What executors need in their environment to find it. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The device of WebGPU; undefined where there is none at all. */
export function webgpuDevice(): GpuDevice | undefined {
  const isReal = DEVICES.some((path) => existsSync(path));
  const found = DRIVER_FOLDERS.some((folder) => existsSync(folder) && readdirSync(folder).length > 0);
  if (isReal && (found || process.env['VK_DRIVER_FILES'] !== undefined)) {
    return { provider: 'webgpu', kind: 'real', environment: {} };
  }
  if (isReal && existsSync(MOUNTED_DRIVER))
    return { provider: 'webgpu', kind: 'real', environment: driver(MOUNTED_DRIVER) };
  if (!existsSync(SOFTWARE_DRIVER)) return undefined;
  const environment = { ...driver(SOFTWARE_DRIVER), LD_LIBRARY_PATH: dirname(SOFTWARE_DRIVER) };
  return { provider: 'webgpu', kind: 'software', environment };
}

/** A CUDA device, where the provider was installed (docs/gpu.md). */
export function cudaDevice(): GpuDevice | undefined {
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const library = join(folder, 'bin', 'napi-v6', process.platform, process.arch, CUDA_LIBRARY);
  if (!existsSync('/dev/nvidia0') || !existsSync(library)) return undefined;
  return { provider: 'cuda', kind: 'real', environment: {} };
}

/** Sets the environment that executors inherit; the result puts it back. */
export function useDevice({ environment }: GpuDevice): () => void {
  const before = Object.keys(environment).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, environment);
  return () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
}

function driver(path: string): Record<string, string> {
  return { VK_DRIVER_FILES: path, VK_ICD_FILENAMES: path };
}
