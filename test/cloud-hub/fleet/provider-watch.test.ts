import { beforeEach, describe, expect, it } from 'vitest';
import { ProviderWatch } from '@tidegate/cloud-hub/fleet/provider-watch.js';
import { fallenDevice } from '../../support/fallen-device.js';
import { recordedLog } from '../../support/recorded-log.js';

const deviceClass = 'x64+avx2/webgpu/2c/4g';
let log: ReturnType<typeof recordedLog>;
let watch: ProviderWatch;
beforeEach(() => {
  log = recordedLog();
  watch = new ProviderWatch(log);
});

describe('the watch over providers (B18)', () => {
  it('warns once for a class, counts its devices, and says when the last has recovered', () => {
    watch.saw(fallenDevice('fine'));
    for (const id of ['a', 'b', 'c', 'a', 'b']) watch.saw(fallenDevice(id, 'no adapter'));
    expect(watch.counts()).toEqual([{ deviceClass, model: 'ocr', devices: 3 }]);
    expect(log.lines).toMatchObject([
      {
        level: 'warn',
        fields: { deviceClass, model: 'ocr', asked: 'webgpu', runs: 'cpu', reason: 'no adapter', device: 'a' },
      },
    ]);
    watch.saw(fallenDevice('a'));
    watch.saw({ ...fallenDevice('b', 'no adapter'), revoked: true });
    expect(watch.counts()).toEqual([{ deviceClass, model: 'ocr', devices: 1 }]);
    expect(log.lines).toHaveLength(1);
    watch.saw(fallenDevice('c'));
    expect(watch.counts()).toEqual([]);
    expect(log.lines[1]).toMatchObject({ level: 'info', fields: { deviceClass, model: 'ocr' } });
  });

  it('names 200 pairs of class and model, and counts the devices of the others together', () => {
    for (let cores = 1; cores <= 203; cores += 1) watch.saw(fallenDevice(`d${cores}`, 'no adapter', cores));
    const counts = watch.counts();
    expect(counts).toHaveLength(201);
    expect(counts.at(-1)).toEqual({ deviceClass: 'other', model: 'other', devices: 3 });
  });
});
