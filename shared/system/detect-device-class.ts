// What kind of machine this is: the device class that a measurement of a variant belongs to, and that decides which variant a
// device may run (decisions.md). Agent and hub detect it by this one function, or their classes would never be equal.
import { availableParallelism, totalmem } from 'node:os';
import type { DeviceClass } from '../wire/device-class.js';
import type { Files } from './files.js';

/** The flags of /proc/cpuinfo that choose ONNX Runtime's kernels; others would only split classes that behave alike. */
const FLAGS_THAT_MATTER: ReadonlySet<string> = new Set([
  'avx2',
  'avx512f',
  'avx512_vnni',
  'avx_vnni',
  'avx512_bf16',
  'amx_int8',
  'amx_bf16',
  'asimddp',
  'i8mm',
  'bf16',
  'sve',
  'fphp',
]);

const GIB = 1024 ** 3;

interface Machine {
  readonly architecture: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Text of /proc/cpuinfo; undefined where there is none. */
  readonly cpuinfo: string | undefined;
}

/** Pure: the class of a machine that runs models on `provider`. */
export function deviceClassOf(machine: Machine, provider: string): DeviceClass {
  const flags =
    /^(?:flags|Features)\s*:(.*)$/m
      .exec(machine.cpuinfo ?? '')?.[1]
      ?.trim()
      .split(/\s+/) ?? [];
  const tier = 2 ** Math.floor(Math.log2(Math.max(machine.memoryBytes, 1) / GIB));
  return {
    architecture: machine.architecture,
    instructions: [...new Set(flags)].filter((flag) => FLAGS_THAT_MATTER.has(flag)).sort(),
    provider,
    cores: Math.max(1, machine.cores),
    memoryTierGiB: tier,
  };
}

/** Looks at this machine. Cores are those that this process may use. */
export async function detectDeviceClass(provider: string, files: Files): Promise<DeviceClass> {
  let cpuinfo: string | undefined;
  try {
    cpuinfo = Buffer.from(await files.read('device-class.cpuinfo', '/proc/cpuinfo')).toString('utf8');
  } catch {
    cpuinfo = undefined; // not Linux: architecture, cores and memory still tell devices apart
  }
  const machine = { architecture: process.arch, cores: availableParallelism(), memoryBytes: totalmem(), cpuinfo };
  return deviceClassOf(machine, provider);
}
