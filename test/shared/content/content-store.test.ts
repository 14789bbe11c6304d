import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { failingFiles } from '../../support/failing-files.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('content');
const data = randomBytes(3_000_000);
const expected = { digest: sha256(data), sizeBytes: data.length };

function chunks(bytes: Uint8Array, size = 65_536): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

async function collect(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

describe('putting whole content', () => {
  it('keeps it under its digest and gives it back, whole and in ranges', async () => {
    const store = await ContentStore.open({ folder: newFolder() }, systemFiles);
    expect(await store.has(expected.digest)).toBe(false);
    await store.put(chunks(data), expected);
    expect(readFileSync(store.path(expected.digest)).equals(data)).toBe(true);
    expect(Buffer.from(await store.read(expected.digest)).equals(data)).toBe(true);
    const range = await collect(await store.stream(expected.digest, 10, 19));
    expect(range.equals(data.subarray(10, 20))).toBe(true);
    expect(await store.list()).toEqual([expected.digest]);
  });

  it('takes an empty file', async () => {
    const store = await ContentStore.open({ folder: newFolder() }, systemFiles);
    const digest = await store.putBytes(new Uint8Array(0));
    expect(await store.sizeBytes(digest)).toBe(0);
  });

  it.each([
    ['other bytes', [data.subarray(0, data.length - 1), Buffer.from([data.at(-1)! ^ 1])], 'digest-mismatch'],
    ['too few bytes', [data.subarray(1)], 'size-mismatch'],
    ['too many bytes', [data, Buffer.from([0])], 'size-mismatch'],
  ])('refuses %s and keeps nothing of them', async (_name, source, code) => {
    const folder = newFolder();
    const store = await ContentStore.open({ folder }, systemFiles);
    await expect(store.put(source, expected)).rejects.toMatchObject({ name: 'ContentError', code });
    expect(await store.has(expected.digest)).toBe(false);
    expect(readdirSync(join(folder, 'partial'))).toEqual([]);
    await store.put(chunks(data), expected); // a good one after the bad one
  });

  it('refuses a digest that could lead out of its folder', async () => {
    const store = await ContentStore.open({ folder: newFolder() }, systemFiles);
    expect(() => store.path('sha256:../../etc/passwd')).toThrow(TypeError);
  });

  it('says not-found for what it does not hold', async () => {
    const store = await ContentStore.open({ folder: newFolder() }, systemFiles);
    await expect(store.read(expected.digest)).rejects.toMatchObject({ code: 'not-found' });
    await expect(store.stream(expected.digest)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('receiving in pieces', () => {
  it('continues at the known offset, also in a new process, and verifies the whole', async () => {
    const folder = newFolder();
    const first = await ContentStore.open({ folder }, systemFiles);
    const partial = await first.resume(expected);
    await partial.write(data.subarray(0, 1_500_001));
    await partial.pause();
    expect(await first.partialBytes(expected.digest)).toBe(1_500_001);
    const second = await ContentStore.open({ folder }, systemFiles); // as after a restart
    const again = await second.resume(expected);
    expect(again.offsetBytes).toBe(1_500_001);
    await again.write(data.subarray(1_500_001));
    await again.finish();
    expect(await second.has(expected.digest)).toBe(true);
  });

  it('finds what a power cut did to the part on disk, and discards it', async () => {
    const folder = newFolder();
    const first = await ContentStore.open({ folder }, systemFiles);
    const partial = await first.resume(expected);
    await partial.write(data.subarray(0, 2_000_000));
    await partial.pause();
    const path = join(folder, 'partial', hexOf(expected.digest));
    truncateSync(path, 1_000_000);
    truncateSync(path, 2_000_000); // the second half is a hole of zeros now
    const second = await ContentStore.open({ folder }, systemFiles);
    const again = await second.resume(expected);
    await again.write(data.subarray(2_000_000));
    await expect(again.finish()).rejects.toMatchObject({ code: 'digest-mismatch' });
    expect(await second.partialBytes(expected.digest)).toBe(0);
    expect(await second.has(expected.digest)).toBe(false);
  });

  it('has one writer per content', async () => {
    const store = await ContentStore.open({ folder: newFolder() }, systemFiles);
    const partial = await store.resume(expected);
    await expect(store.resume(expected)).rejects.toMatchObject({ code: 'busy' });
    await partial.discard();
    await (await store.resume(expected)).discard();
  });

  it('starts anew where more bytes lie there than the blob has', async () => {
    const folder = newFolder();
    const store = await ContentStore.open({ folder }, systemFiles);
    writeFileSync(join(folder, 'partial', hexOf(expected.digest)), Buffer.alloc(data.length + 1));
    const partial = await store.resume(expected);
    expect(partial.offsetBytes).toBe(0);
    await partial.write(data);
    await partial.finish();
  });
});

describe('a full disk (B5)', () => {
  it('refuses before the first byte and says need and have', async () => {
    const files = failingFiles();
    const store = await ContentStore.open({ folder: newFolder(), reserveBytes: 1000 }, files);
    files.pretendFreeBytes(5000);
    await expect(store.put(chunks(data), expected)).rejects.toMatchObject({
      code: 'no-space',
      needBytes: data.length,
      haveBytes: 4000,
    });
    files.pretendFreeBytes(undefined);
    await store.put(chunks(data), expected);
  });

  it('keeps what came when the disk fills in the middle, and continues once there is space', async () => {
    const files = failingFiles();
    const folder = newFolder();
    const store = await ContentStore.open({ folder }, files);
    const partial = await store.resume(expected);
    await partial.write(data.subarray(0, 1_100_000)); // the first MiB is on disk now
    files.failNext('content.append', 'ENOSPC', 4096); // some of the append still reaches the disk
    await expect(partial.write(data.subarray(1_100_000, 2_900_000))).rejects.toMatchObject({ code: 'no-space' });
    await partial.pause();
    const again = await store.resume(expected);
    expect(again.offsetBytes).toBe(1_048_576 + 4096);
    await again.write(data.subarray(again.offsetBytes));
    await again.finish();
    expect(readFileSync(store.path(expected.digest)).equals(data)).toBe(true);
  });

  it('has the old content or the new when the commit fails, and loses no byte', async () => {
    const files = failingFiles();
    const store = await ContentStore.open({ folder: newFolder() }, files);
    const partial = await store.resume(expected);
    await partial.write(data);
    files.failNext('content.commit', 'EIO');
    await expect(partial.finish()).rejects.toMatchObject({ code: 'EIO' });
    await partial.pause();
    expect(await store.has(expected.digest)).toBe(false);
    const again = await store.resume(expected);
    expect(again.offsetBytes).toBe(data.length);
    await again.finish();
    expect(await store.has(expected.digest)).toBe(true);
  });
});

describe('removing what nothing refers to', () => {
  it('keeps what is named and what is being received', async () => {
    const folder = newFolder();
    const store = await ContentStore.open({ folder }, systemFiles);
    const kept = await store.putBytes(Buffer.from('kept'));
    const old = await store.putBytes(Buffer.from('old'));
    const partial = await store.resume(expected);
    await partial.write(data.subarray(0, 1_048_576));
    expect(await store.removeExcept(new Set([kept]))).toEqual({ removed: 1, freedBytes: 3 });
    expect(await store.has(old)).toBe(false);
    expect(await store.has(kept)).toBe(true);
    await partial.pause();
    expect(await store.removeExcept(new Set([kept]))).toEqual({ removed: 1, freedBytes: 1_048_576 });
    expect(existsSync(store.path(kept))).toBe(true);
  });
});
