// Registry and inference as the hub composes them: real executors, real optimizer, real signing.
import { readFileSync } from 'node:fs';
import type { Closing } from '@tidegate/cloud-hub/composition/closing.js';
import { openInference, type InferenceParts } from '@tidegate/cloud-hub/composition/open-inference.js';
import { openRegistry, type RegistryParts } from '@tidegate/cloud-hub/composition/open-registry.js';
import type { Parts } from '@tidegate/cloud-hub/composition/parts.js';
import type { InferAnswer } from '@tidegate/shared/serving/inference-service.js';
import { bytesOf, tensor } from '@tidegate/shared/tensor/tensor.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { canonicalManifest, variantTargetPath } from '@tidegate/shared/wire/manifest.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BARE_GRAPH, bareYaml } from '../../support/bare-package.js';
import { openHubParts } from '../../support/hub-parts.js';
import { recordedLog } from '../../support/recorded-log.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('open-registry');
const GOLDENS = JSON.stringify([
  {
    id: 'ones',
    inputs: { x: { datatype: 'FP32', shape: [1, 4], data: [1, 1, 1, 1] } },
    expected: [1.5, 2.5, 3.5, 4.5],
  },
]);
let parts: Parts;
let closing: Closing;
let registry: RegistryParts;

beforeAll(async () => {
  ({ parts, closing } = await openHubParts(folder()));
  registry = await openRegistry(parts, closing);
});
afterAll(() => closing.run());

async function publish(files: Readonly<Record<string, Uint8Array | string>>) {
  const entries = Object.entries(files).map(([path, data]) => ({
    path,
    sizeBytes: Buffer.byteLength(data),
    digest: sha256(data),
  }));
  const upload = await registry.uploads.create(
    { model: 'bare', files: entries, allowUnknownLicence: false },
    'token:t',
  );
  for (const data of Object.values(files)) await parts.content.putBytes(Buffer.from(data));
  const { version } = await registry.registry.publish(upload.id, 'token:t');
  await registry.pipeline.idle();
  return (await registry.registry.version('bare', String(version)))!;
}

const ask = (inference: InferenceParts['inference']): Promise<InferAnswer> =>
  inference.infer(
    {
      model: 'bare',
      version: undefined,
      id: undefined,
      inputs: [tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(0, 0, 0, 0)))],
      outputs: [],
      deadlineMs: parts.clock.monotonicMs() + 30_000,
      priority: 0,
      placement: 'auto',
      cache: 'use',
      maxStalenessMs: undefined,
      parameters: {},
    },
    new AbortController().signal,
  );

test('a published version has measured rows, its variants’ manifests are signed targets, and the hub answers it', async () => {
  const { inference } = await openInference(parts, registry.registry, () => [], closing);
  const goldens = '{ file: g.json, output: y, metric: max-abs-error, threshold: 0.001 }';
  const version = await publish({
    'model.yaml': bareYaml('bare', { goldens }),
    'm.onnx': readFileSync(BARE_GRAPH),
    'g.json': GOLDENS,
  });
  expect(version).toMatchObject({ state: 'ready' });
  expect(version.variants.filter((row) => row.outcome === 'chosen').length).toBe(1);
  expect(version.variants[0]).toMatchObject({ variant: 'fp32', latencyP50Ms: expect.any(Number) });
  for (const { manifest, variantDigest } of await registry.registry.variants('bare', version.version)) {
    expect(parts.tuf.has(variantTargetPath(variantDigest), Buffer.from(canonicalManifest(manifest)))).toBe(true);
  }
  const answer = await ask(inference);
  expect(Buffer.from(answer.outputs[0]!.data).equals(Buffer.from(bytesOf(Float32Array.of(0.5, 0.5, 0.5, 0.5))))).toBe(
    true,
  );
});

test('with --threads auto a version is measured once, also over restarts', async () => {
  const start = async () => {
    const log = recordedLog();
    const settings = { ...parts.settings, threads: 'auto' } as const;
    const { inference } = await openInference({ ...parts, settings, log }, registry.registry, () => [], closing);
    await ask(inference);
    await inference.close();
    return log.lines
      .filter(({ message }) => message.startsWith('threads'))
      .map(({ message, fields }) => [message, fields]);
  };
  const [[said, chosen] = []] = await start();
  expect(said).toBe('threads chosen');
  expect(chosen).toMatchObject({
    model: 'bare',
    version: '1',
    threads: 1,
    reason: expect.stringContaining('too short'),
  });
  expect(await start()).toEqual([['threads as measured before', chosen]]);
});
