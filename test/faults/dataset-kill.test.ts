// kill -9 of the hub at any moment of an import: what is there afterwards is whole, and importing again ends in the same version as if
// nothing had happened. What a kill left that no row names goes at the next start.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { makeContext } from '@tidegate/cloud-hub/cli/context.js';
import { HubClient } from '@tidegate/cloud-hub/cli/hub-client.js';
import { runProgram } from '@tidegate/cloud-hub/cli/program.js';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { encodeNpy } from '@tidegate/shared/tensor/npy.js';
import { bytesOf } from '@tidegate/shared/tensor/tensor.js';
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import { datasetManifestSchema, datasetVersionSchema, sampleSchema } from '@tidegate/shared/wire/data-api.js';
import { hexOf, sha256 } from '@tidegate/shared/wire/digest.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeBarePackage } from '../support/bare-package.js';
import { startHubProcess, type HubProcess } from '../support/hub-process.js';
import { recordedStreams } from '../support/silent-streams.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const folder = temporaryFolders('dataset-kill');
const COUNT = 300;
/** Of the start of an import: at once, while it reads, sends, freezes, and about when it is done. */
const KILLED_AFTER_MS = [0, 60, 100, 150, 220, 300];
let home: string;
let hub: HubProcess;

beforeAll(async () => {
  home = join(folder(), 'hub');
  hub = await startHubProcess(home);
});
afterAll(() => hub.kill());

async function run(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const streams = recordedStreams();
  const context = makeContext(
    { ...streams, stdin: Readable.from(['']) },
    { TIDEGATE_HUB: hub.url, TIDEGATE_TOKEN: hub.token },
  );
  return { code: await runProgram(args, context), out: streams.out(), err: streams.err() };
}

/** A folder of arrays that no other number has. */
async function arrays(number: number): Promise<string> {
  const into = folder();
  for (let i = 0; i < COUNT; i += 1) {
    const label = String(i % 4);
    await fs.mkdir(join(into, label), { recursive: true });
    const file = encodeNpy({ datatype: 'FP32', shape: [4], data: bytesOf(Float32Array.of(i, number, 2, 3)) })!;
    await fs.writeFile(join(into, label, `${i}.npy`), file);
  }
  return into;
}
const importing = (path: string, name: string): string[] => [
  ...['dataset', 'import', path, '--model', 'bare', '--name', name, '--json'],
];

/** Every sample has its body, every version its manifest and all of its shards. Returns how many samples and versions there are. */
async function everythingWhole(): Promise<{ samples: number; versions: number }> {
  const client = new HubClient({ hub: hub.url, token: hub.token });
  const bytes = async (path: string): Promise<Uint8Array> => {
    const answer = await client.raw('GET', path);
    expect([path, answer.status]).toEqual([path, 200]);
    return answer.body;
  };
  const samples = await client.list('/api/v1/samples?limit=500', pageOf(sampleSchema));
  expect(samples.every(({ state }) => state === 'labelled')).toBe(true);
  const inputs = await Promise.all(samples.map(({ id }) => bytes(`/api/v1/samples/${hexOf(id)}/inputs/x`)));
  expect(inputs.every(({ byteLength }) => byteLength === 16)).toBe(true);
  const datasets = await client.list('/api/v1/datasets', pageOf(datasetVersionSchema));
  for (const { name, version, digest } of datasets) {
    const base = `/api/v1/datasets/${name}/versions/${version}`;
    const manifest = await bytes(`${base}/manifest`);
    expect(sha256(manifest)).toBe(digest);
    const { shards } = datasetManifestSchema.parse(JSON.parse(Buffer.from(manifest).toString()));
    for (const [at, shard] of shards.entries()) expect(sha256(await bytes(`${base}/shards/${at}`))).toBe(shard.digest);
  }
  return { samples: samples.length, versions: datasets.length };
}

test('an import over a hub that is killed ends, asked for again, in the version that an undisturbed hub makes', async () => {
  expect(await run(['model', 'publish', writeBarePackage(folder(), 'bare')])).toMatchObject({ code: 0 });
  const digests: string[] = [];
  const paths: string[] = [];
  for (const [number, afterMs] of KILLED_AFTER_MS.entries()) {
    const path = await arrays(number);
    const going = run(importing(path, `set-${number}`));
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await hub.kill();
    hub = await hub.again();
    const { code, err } = await going; // it has waited for the hub and ended well, or has given up
    await everythingWhole();
    if (code !== 0) expect(err).toMatch(/can't be reached/);
    const last = await run(importing(path, `set-${number}`));
    expect(last).toMatchObject({ code: 0 });
    const version = datasetVersionSchema.parse(JSON.parse(last.out));
    expect(version).toMatchObject({ version: 1, count: COUNT });
    expect(await everythingWhole()).toEqual({ samples: (number + 1) * COUNT, versions: number + 1 });
    digests.push(version.digest);
    paths.push(path);
  }

  await hub.kill();
  const content = await ContentStore.open({ folder: join(home, 'content') }, systemFiles);
  const before = await content.list();
  const left = await content.putBytes(Buffer.from('a body whose row was not written'));
  hub = await hub.again();
  expect(await content.has(left)).toBe(false);
  const after = await content.list();
  expect(after.filter((digest) => !before.includes(digest))).toEqual([]);
  expect(hub.stderr()).toContain('"removed":');
  expect(await everythingWhole()).toEqual({ samples: paths.length * COUNT, versions: paths.length });

  await hub.stop();
  hub = await startHubProcess(join(folder(), 'undisturbed'));
  expect(await run(['model', 'publish', writeBarePackage(folder(), 'bare')])).toMatchObject({ code: 0 });
  for (const [number, path] of paths.entries()) {
    const { out } = await run(importing(path, `set-${number}`));
    expect(datasetVersionSchema.parse(JSON.parse(out)).digest).toBe(digests[number]);
  }
});
