// Where a fleet runs models on another provider than was asked for, by class of device (field lesson B18): a driver that an update broke
// shows on every device of a class, and one device after the other looks like bad luck. Pure, for the hub, its console and command line.
import type { Device } from './admin-api.js';
import { deviceClassName } from './device-class-name.js';

/** One model of one device. */
export interface Fallback {
  readonly deviceClass: string;
  readonly model: string;
  /** The first that was asked for. */
  readonly asked: string;
  readonly runs: string;
  /** In the engine's words. */
  readonly reason: string;
}

interface ClassFallback extends Fallback {
  /** Devices of the class on which the model fell back. Provider and reason are those of the first. */
  readonly devices: number;
  /** Devices of the class that run the model. */
  readonly of: number;
}

type Reported = Pick<Device, 'deviceClass' | 'models' | 'revoked'>;

/** A reason is reported only where something that was asked for failed. */
export function fallbacksOf({ deviceClass, models, revoked }: Reported): Fallback[] {
  if (deviceClass === undefined || revoked) return [];
  const [name, asked] = [deviceClassName(deviceClass), deviceClass.provider];
  return models.flatMap(({ name: model, running }) =>
    running?.providerReason === undefined
      ? []
      : [{ deviceClass: name, model, asked, runs: running.provider, reason: running.providerReason }],
  );
}

/** Sorted by class and model. */
export function classFallbacks(devices: readonly Reported[]): ClassFallback[] {
  const found = new Map<string, Fallback & { devices: number }>();
  const running = new Map<string, number>();
  const key = (deviceClass: string, model: string): string => `${deviceClass} ${model}`;
  for (const device of devices) {
    if (device.deviceClass === undefined || device.revoked) continue;
    const name = deviceClassName(device.deviceClass);
    for (const model of device.models) {
      if (model.running !== undefined)
        running.set(key(name, model.name), (running.get(key(name, model.name)) ?? 0) + 1);
    }
    for (const fallback of fallbacksOf(device)) {
      const at = key(name, fallback.model);
      found.set(at, { ...(found.get(at) ?? fallback), devices: (found.get(at)?.devices ?? 0) + 1 });
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([at, one]) => ({ ...one, of: running.get(at) ?? 0 }));
}

/** For people: `3 of 12 devices of x64/webgpu/2c/4g run ocr on cpu instead of webgpu: fell back to cpu; ...`. */
export function fallbackText({ deviceClass, model, asked, runs, reason, devices, of }: ClassFallback): string {
  return `${devices} of ${of} devices of ${deviceClass} run ${model} on ${runs} instead of ${asked}: ${reason}`;
}
