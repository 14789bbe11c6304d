import { describe, expect, it } from 'vitest';
import { assignWaves, placeOf, waveOfNewcomer } from '@tidegate/cloud-hub/rollouts/waves.js';

const devices = Array.from({ length: 1000 }, (_, i) => `device-${i}`);

describe('waves', () => {
  it('takes the shares and is the same every time, in any order', () => {
    const waves = assignWaves(devices, 'sha256:a', [0.1, 0.5, 1]);
    const sizes = [0, 1, 2].map((wave) => [...waves.values()].filter((w) => w === wave).length);
    expect(sizes).toEqual([100, 400, 500]);
    expect(new Map([...assignWaves([...devices].reverse(), 'sha256:a', [0.1, 0.5, 1])].sort())).toEqual(
      new Map([...waves].sort()),
    );
  });

  it('gives every wave at least one device while there are any', () => {
    expect([...assignWaves(['a', 'b', 'c'], 'v', [0.1, 0.5, 1]).values()].sort()).toEqual([0, 1, 2]);
    expect([...assignWaves(['a'], 'v', [0.1, 0.5, 1]).values()]).toEqual([0]);
    expect(assignWaves([], 'v', [1]).size).toBe(0);
  });

  it('gives another version other canaries', () => {
    const canaries = (version: string): string[] =>
      [...assignWaves(devices, version, [0.1, 1])].filter(([, wave]) => wave === 0).map(([id]) => id);
    const common = canaries('sha256:a').filter((id) => canaries('sha256:b').includes(id));
    expect(common.length).toBeLessThan(40);
  });

  it('puts a newcomer where its hash lies', () => {
    for (const id of devices.slice(0, 50)) {
      const place = placeOf(id, 'v');
      expect(waveOfNewcomer(id, 'v', [0.1, 0.5, 1])).toBe(place < 0.1 ? 0 : place < 0.5 ? 1 : 2);
    }
  });
});
