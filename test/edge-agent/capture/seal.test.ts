import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Seal, SEAL_BYTES } from '@tidegate/edge-agent/capture/seal.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog, type Log } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('seal');
const body = Buffer.from('what the camera saw, what the camera saw');
const id = sha256(body);
const open = (path = join(folder(), 'captures.key'), log: Log = silentLog): Promise<Seal> =>
  Seal.open(path, { files: systemFiles, log });

describe('sealing', () => {
  it('gives back what was sealed, under that key and that id only', async () => {
    const key = await open();
    const file = await key.seal(id, body);
    expect(file.byteLength).toBe(body.byteLength + SEAL_BYTES);
    expect(Buffer.from(file).includes(Buffer.from('camera'))).toBe(false);
    expect(Buffer.from((await key.unseal(id, file)) ?? []).equals(body)).toBe(true);
    expect(await (await open()).unseal(id, file)).toBeUndefined();
    expect(await key.unseal(sha256('another'), file)).toBeUndefined();
  });

  it('never seals twice the same way', async () => {
    const key = await open();
    expect(Buffer.from(await key.seal(id, body)).equals(await key.seal(id, body))).toBe(false);
  });

  it('notices any flipped bit and any cut', async () => {
    const key = await open();
    const file = await key.seal(id, body);
    for (let at = 0; at < file.byteLength; at += 1) {
      const flipped = Uint8Array.from(file);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect(await key.unseal(id, flipped)).toBeUndefined();
      expect(await key.unseal(id, file.subarray(0, at))).toBeUndefined();
    }
  });

  it('does its work beside the main thread, which other requests need', async () => {
    const key = await open();
    const picture = new Uint8Array(8 * 1024 * 1024);
    const shares: number[] = [];
    for (let i = 0; i < 5; i += 1) shares.push(await busyShare(() => key.seal(id, picture)));
    expect(Math.min(...shares)).toBeLessThan(0.9); // each is 1 where it is computed here
  });
});

/** Of the time until `work` is done, the part in which this thread could do nothing else. */
async function busyShare(work: () => Promise<unknown>): Promise<number> {
  const before = performance.eventLoopUtilization();
  await work();
  return performance.eventLoopUtilization(before).utilization;
}

describe('the key', () => {
  it('is made once, for this user only', async () => {
    const path = join(folder(), 'captures.key');
    const log = recordedLog();
    const made = await open(path, log);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path)).toHaveLength(32);
    expect(await (await open(path, log)).unseal(id, await made.seal(id, body))).toBeDefined();
    expect(log.lines).toEqual([]);
  });

  it('is replaced where it is damaged, which is said', async () => {
    const path = join(folder(), 'captures.key');
    await writeFile(path, 'short');
    const log = recordedLog();
    await open(path, log);
    expect(await readFile(path)).toHaveLength(32);
    expect(log.lines[0]).toMatchObject({ level: 'error', message: expect.stringContaining('damaged') as string });
  });
});
