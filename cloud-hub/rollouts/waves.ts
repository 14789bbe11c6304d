// Which device belongs to which wave: decided by a hash of device and version, so that the choice is stable over restarts
// and another version has other canaries. Pure.
import { createHash } from 'node:crypto';

/** Uniform in [0, 1), stable for the pair. */
export function placeOf(deviceId: string, versionDigest: string): number {
  return createHash('sha256').update(`${versionDigest}/${deviceId}`).digest().readUInt32BE(0) / 2 ** 32;
}

/**
 * Wave index per device. `shares` are cumulative and rising; every wave takes at least one device while there are any,
 * and the last takes all that are left.
 */
export function assignWaves(
  deviceIds: readonly string[],
  versionDigest: string,
  shares: readonly number[],
): Map<string, number> {
  const order = deviceIds
    .map((id) => ({ id, place: placeOf(id, versionDigest) }))
    .sort((a, b) => a.place - b.place || (a.id < b.id ? -1 : 1));
  const waves = new Map<string, number>();
  let taken = 0;
  for (const [wave, share] of shares.entries()) {
    const last = wave === shares.length - 1;
    const until = last ? order.length : Math.max(Math.floor(order.length * share), taken + 1);
    while (taken < until && taken < order.length) {
      waves.set((order[taken] as { id: string }).id, wave);
      taken += 1;
    }
  }
  return waves;
}

/** The wave of a device that joined the group after the rollout began. */
export function waveOfNewcomer(deviceId: string, versionDigest: string, shares: readonly number[]): number {
  const place = placeOf(deviceId, versionDigest);
  const wave = shares.findIndex((share) => place < share);
  return wave < 0 ? shares.length - 1 : wave;
}
