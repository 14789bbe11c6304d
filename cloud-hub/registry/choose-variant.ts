// Which variant a device should run: the one that measuring chose for exactly its class; fp32 for a class that nobody measured
// (decisions.md: a variant is offered to a class only after its goldens passed on a device of that class).
import { deviceClassName } from '@tidegate/shared/wire/device-class-name.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import type { VariantReport } from '@tidegate/shared/wire/variant-report.js';

export const UNOPTIMISED = 'fp32';

export function chooseVariant(
  reports: readonly VariantReport[],
  held: readonly string[],
  deviceClass: DeviceClass | undefined,
): string {
  if (deviceClass === undefined) return UNOPTIMISED;
  const name = deviceClassName(deviceClass);
  const chosen = reports.find((report) => report.deviceClass === name && report.outcome === 'chosen');
  return chosen !== undefined && held.includes(chosen.variant) ? chosen.variant : UNOPTIMISED;
}
