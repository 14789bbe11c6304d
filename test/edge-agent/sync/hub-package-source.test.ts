import { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { HubPackageSource } from '@tidegate/edge-agent/sync/hub-package-source.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { TufError } from '@tidegate/shared/tuf/tuf-error.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('hub-package-source');
const signal = new AbortController().signal;

async function source(answer: () => Promise<Uint8Array>, forgotten: string[] = []): Promise<HubPackageSource> {
  const store = await ContentStore.open({ folder: folder() }, systemFiles);
  return new HubPackageSource('https://127.0.0.1:1', {
    tuf: {
      verifiedTarget: async (path) => ({ path, bytes: await answer(), custom: {} }),
      forgetExcept: async (paths) => void forgotten.push(...paths),
    },
    download: {
      store,
      dispatcher: new Agent(),
      clock: systemClock,
      random: seededRandom(1),
      policy: {
        fruitlessAttemptsMax: 2,
        backoff: { baseMs: 1, maxMs: 2 },
        stallMs: 1000,
        stallBytes: 1,
        headersTimeoutMs: 1000,
      },
    },
  });
}

describe('the hub as a source of packages', () => {
  it.each([
    ['unreachable', 'unreachable', true],
    ['expired', 'expired', true], // never authorises a new install, and is nobody's failed attempt (B2)
    ['storage', 'not-persisted', true],
    ['refused', 'untrusted', false],
    ['unknown-target', 'untrusted', false],
  ] as const)('metadata that are %s: %s', async (code, expected, transient) => {
    const made = await source(() => Promise.reject(new TufError(code, 'why')));
    await expect(made.manifest(sha256('x'), signal)).rejects.toMatchObject({
      code: expected,
      transient,
      message: 'why',
    });
  });

  it('names the file that could not be fetched, and that the hub is away', async () => {
    const made = await source(async () => new Uint8Array());
    const file = { path: 'model.onnx', digest: sha256('x'), sizeBytes: 1 };
    await expect(made.fetchFile(file, () => undefined, signal)).rejects.toMatchObject({
      code: 'unreachable',
      message: /^model\.onnx: .*127\.0\.0\.1:1/,
    });
  });

  it('refuses before the first byte what does not fit', async () => {
    const made = await source(async () => new Uint8Array());
    const file = { path: 'model.onnx', digest: sha256('x'), sizeBytes: 2 ** 52 };
    await expect(made.fetchFile(file, () => undefined, signal)).rejects.toMatchObject({ code: 'no-space' });
  });

  it('lets the update client forget all other targets', async () => {
    const forgotten: string[] = [];
    await (await source(async () => new Uint8Array(), forgotten)).forgetExcept(new Set([sha256('x')]));
    expect(forgotten).toEqual([`variants/${sha256('x').slice(7)}.json`]);
  });
});
