import { describe, expect, it } from 'vitest';
import { detectDeviceClass, deviceClassOf } from '@tidegate/shared/system/detect-device-class.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { deviceClassName } from '@tidegate/shared/wire/device-class-name.js';
import { deviceClassSchema } from '@tidegate/shared/wire/device-class.js';
import { failingFiles } from '../../support/failing-files.js';

const GIB = 1024 ** 3;

describe('the device class', () => {
  it('names an x64 machine by the flags that choose kernels', () => {
    const cpuinfo =
      'processor\t: 0\nflags\t\t: fpu sse2 avx avx2 avx512f avx512_vnni md_clear\n\nprocessor\t: 1\nflags\t\t: fpu\n';
    const found = deviceClassOf({ architecture: 'x64', cores: 2, memoryBytes: 15.6 * GIB, cpuinfo }, 'cpu');
    expect(deviceClassName(found)).toBe('x64+avx2+avx512_vnni+avx512f/cpu/2c/8g');
  });

  it('names an ARM board, also one with less than a GiB', () => {
    const cpuinfo = 'processor : 0\nFeatures\t: fp asimd asimddp crc32\n';
    const found = deviceClassOf({ architecture: 'arm64', cores: 4, memoryBytes: 0.48 * GIB, cpuinfo }, 'webgpu');
    expect(deviceClassName(found)).toBe('arm64+asimddp/webgpu/4c/0.25g');
  });

  it('does without /proc/cpuinfo', async () => {
    const files = failingFiles();
    files.failNext('device-class.cpuinfo', 'ENOENT');
    expect((await detectDeviceClass('cpu', files)).instructions).toEqual([]);
    expect(deviceClassSchema.parse(await detectDeviceClass('cpu', systemFiles)).architecture).toBe(process.arch);
  });
});
