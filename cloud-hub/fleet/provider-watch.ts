// Which classes of devices run models on another provider than was asked for, as their reports tell: counted for metrics, and said in the
// log when the first device of a class falls back and when the last one has recovered (field lesson B18). It remembers only devices
// that fell back.
import type { Log } from '@tidegate/shared/system/log.js';
import type { Device } from '@tidegate/shared/wire/admin-api.js';
import { fallbacksOf, type Fallback } from '@tidegate/shared/wire/provider-fallbacks.js';

/** Pairs of class and model that are counted by name; devices beyond are counted together. */
const LIMIT_PAIRS = 200;
const OTHERS = { deviceClass: 'other', model: 'other' };

interface FallbackCount {
  readonly deviceClass: string;
  readonly model: string;
  readonly devices: number;
}

interface Pair {
  readonly fallback: Fallback;
  devices: number;
}

export class ProviderWatch {
  readonly #log: Log;
  readonly #byDevice = new Map<string, readonly Fallback[]>();
  readonly #pairs = new Map<string, Pair>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** The device as it is now. */
  saw(device: Pick<Device, 'id' | 'deviceClass' | 'models' | 'revoked'>): void {
    const before = this.#byDevice.get(device.id) ?? [];
    const now = fallbacksOf(device);
    if (now.length > 0) this.#byDevice.set(device.id, now);
    else this.#byDevice.delete(device.id);
    for (const fallback of now) this.#add(fallback, device.id); // first, so that what stays is not said to have gone
    for (const fallback of before) this.#drop(fallback);
  }

  /** By class and model. */
  counts(): FallbackCount[] {
    const all = [...this.#pairs.values()].map(({ fallback: { deviceClass, model }, devices }) => {
      return { deviceClass, model, devices };
    });
    const others = all.splice(LIMIT_PAIRS).reduce((sum, { devices }) => sum + devices, 0);
    return others === 0 ? all : [...all, { ...OTHERS, devices: others }];
  }

  #add(fallback: Fallback, device: string): void {
    const pair = this.#pairs.get(keyOf(fallback));
    if (pair !== undefined) {
      pair.devices += 1;
      return;
    }
    this.#pairs.set(keyOf(fallback), { fallback, devices: 1 });
    this.#log.warn({ ...fallback, device }, 'devices of a class run a model on another provider than was asked for');
  }

  #drop(fallback: Fallback): void {
    const pair = this.#pairs.get(keyOf(fallback));
    if (pair === undefined) return;
    pair.devices -= 1;
    if (pair.devices > 0) return;
    this.#pairs.delete(keyOf(fallback));
    const { deviceClass, model, asked } = fallback;
    this.#log.info({ deviceClass, model, asked }, 'no device of the class runs the model on another provider any more');
  }
}

function keyOf({ deviceClass, model }: Fallback): string {
  return `${deviceClass} ${model}`;
}
