import { randomBytes } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSealKey, seal, SEAL_BYTES, unseal } from '@tidegate/edge-agent/capture/seal.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('seal');
const body = Buffer.from('what the camera saw, what the camera saw');
const id = sha256(body);
const key = randomBytes(32);

describe('sealing', () => {
  it('gives back what was sealed, under that key and that id only', () => {
    const file = seal(key, id, body);
    expect(file.byteLength).toBe(body.byteLength + SEAL_BYTES);
    expect(Buffer.from(file).includes(Buffer.from('camera'))).toBe(false);
    expect(Buffer.from(unseal(key, id, file) ?? []).equals(body)).toBe(true);
    expect(unseal(randomBytes(32), id, file)).toBeUndefined();
    expect(unseal(key, sha256('another'), file)).toBeUndefined();
  });

  it('never seals twice the same way', () => {
    expect(Buffer.from(seal(key, id, body)).equals(seal(key, id, body))).toBe(false);
  });

  it('notices any flipped bit and any cut', () => {
    const file = seal(key, id, body);
    for (let at = 0; at < file.byteLength; at += 1) {
      const flipped = Uint8Array.from(file);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect(unseal(key, id, flipped)).toBeUndefined();
      expect(unseal(key, id, file.subarray(0, at))).toBeUndefined();
    }
  });
});

describe('the key', () => {
  it('is made once, for this user only', async () => {
    const path = join(folder(), 'captures.key');
    const log = recordedLog();
    const made = await openSealKey(path, { files: systemFiles, log });
    expect(made.byteLength).toBe(32);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(Buffer.from(await openSealKey(path, { files: systemFiles, log })).equals(made)).toBe(true);
    expect(log.lines).toEqual([]);
  });

  it('is replaced where it is damaged, which is said', async () => {
    const path = join(folder(), 'captures.key');
    await writeFile(path, 'short');
    const log = recordedLog();
    expect((await openSealKey(path, { files: systemFiles, log })).byteLength).toBe(32);
    expect(await readFile(path)).toHaveLength(32);
    expect(log.lines[0]).toMatchObject({ level: 'error', message: expect.stringContaining('damaged') as string });
  });
});
