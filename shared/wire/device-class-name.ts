// The name of a device class, as people and rows have it. Apart from the schema, which would bring zod into the console's page.
import type { DeviceClass } from './device-class.js';

/** `x64+avx2+avx512_vnni/cpu/2c/16g`: equal strings are one class. */
export function deviceClassName(value: DeviceClass): string {
  const flags = value.instructions.map((flag) => `+${flag}`).join('');
  return `${value.architecture}${flags}/${value.provider}/${value.cores}c/${value.memoryTierGiB}g`;
}
