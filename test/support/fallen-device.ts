// A device that runs `ocr` on WebGPU as it was told to, or on the CPU for a reason.
import type { Device } from '@tidegate/shared/wire/admin-api.js';

export function fallenDevice(id: string, providerReason?: string, cores = 2): Device {
  const digest = `sha256:${'0'.repeat(64)}`;
  const version = {
    version: 1,
    versionDigest: digest,
    variant: 'fp32',
    variantDigest: digest,
    since: 0,
    committed: true,
  };
  return {
    id,
    name: id,
    group: 'shop',
    online: true,
    revoked: false,
    enrolledAt: '2026-01-01T00:00:00.000Z',
    desiredVersion: 1,
    deviceClass: { architecture: 'x64', instructions: ['avx2'], provider: 'webgpu', cores, memoryTierGiB: 4 },
    models: [
      {
        name: 'ocr',
        running: {
          ...version,
          provider: providerReason === undefined ? 'webgpu' : 'cpu',
          ...(providerReason === undefined ? {} : { providerReason }),
        },
      },
    ],
  };
}
