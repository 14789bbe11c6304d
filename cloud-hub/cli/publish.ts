// `tidegate model publish`: says what will come, sends what the hub lacks in pieces from where it stopped, and follows the version until
// it is ready or refused. Sending again after anything went wrong goes on where the hub is; equal content is the same version.
import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { uploadSchema, versionSchema, type Upload, type Version } from '@tidegate/shared/wire/admin-api.js';
import { z } from 'zod';
import { CliError, wrongUsage } from './cli-error.js';
import { HubProblem, type HubClient } from './hub-client.js';
import { byteProgress, type Progress, type Streams } from './output.js';

const PIECE_BYTES = 8 * 1024 * 1024;
const ATTEMPTS = 5;
const POLL_MS = 400;

const receivedSchema = z.object({ receivedBytes: z.int(), complete: z.boolean() });

/** The package at `path`, opened and hashed. Throws CliError for one that can't be published. */
export async function openForPublish(path: string): Promise<ModelPackage> {
  let pack: ModelPackage;
  try {
    pack = await openPackage(path, { inspect: inspectGraphFile });
  } catch (cause) {
    if (cause instanceof PackageError) throw new CliError(cause.message, { cause });
    throw cause;
  }
  if (!pack.hasYaml) {
    throw wrongUsage(`${path} has no model.yaml; write a first one with: tidegate model init ${path}`);
  }
  return pack;
}

/** Uploads and completes. The version is then `validating`, or what it was if the hub had it already. */
export async function publish(
  client: HubClient,
  pack: ModelPackage,
  options: { readonly allowUnknownLicence: boolean },
  streams: Streams,
): Promise<Version> {
  const upload = await client.post(
    '/api/v1/uploads',
    { model: pack.yaml.name, files: pack.files, allowUnknownLicence: options.allowUnknownLicence },
    uploadSchema,
  );
  const files = [...new Map(upload.files.map((file) => [file.digest, file])).values()];
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const doneBytes = files.reduce((sum, file) => sum + file.receivedBytes, 0);
  const progress = byteProgress(streams, totalBytes, doneBytes);
  try {
    for (const file of files) if (!file.complete) await sendFile(client, upload.id, pack, file, progress);
  } finally {
    progress.stop();
  }
  return client.post(`/api/v1/uploads/${upload.id}/complete`, undefined, versionSchema);
}

type UploadFile = Upload['files'][number];

async function sendFile(
  client: HubClient,
  uploadId: string,
  pack: ModelPackage,
  file: UploadFile,
  progress: Progress,
): Promise<void> {
  let offset = file.receivedBytes;
  let failures = 0;
  for (;;) {
    try {
      const received = await sendPiece(client, uploadId, pack.pathOf(file.path), file, offset);
      progress.advance(received.receivedBytes - offset);
      if (received.complete) return;
      offset = received.receivedBytes;
      failures = 0;
    } catch (cause) {
      const lasting = cause instanceof HubProblem && cause.status !== 409 && cause.status < 500;
      failures += 1;
      if (lasting || failures >= ATTEMPTS || !(cause instanceof CliError)) throw cause;
      await sleep(500 * 2 ** failures);
      const now = await whereTheHubIs(client, uploadId, file).catch(() => undefined); // unreachable still: the next attempt says it
      if (now?.complete === true) return;
      offset = now?.receivedBytes ?? offset;
    }
  }
}

async function sendPiece(
  client: HubClient,
  uploadId: string,
  path: string,
  file: UploadFile,
  offset: number,
): Promise<z.infer<typeof receivedSchema>> {
  const sizeBytes = Math.min(PIECE_BYTES, file.sizeBytes - offset);
  const hex = file.digest.slice('sha256:'.length);
  const body = createReadStream(path, { start: offset, end: Math.max(offset, offset + sizeBytes - 1) });
  return client.putStream(`/api/v1/uploads/${uploadId}/files/${hex}?offset=${offset}`, body, sizeBytes, receivedSchema);
}

async function whereTheHubIs(client: HubClient, uploadId: string, file: UploadFile): Promise<UploadFile | undefined> {
  const upload = await client.get(`/api/v1/uploads/${uploadId}`, uploadSchema);
  return upload.files.find((other) => other.digest === file.digest);
}

/** Waits until the version is ready or refused, saying on stderr what it does meanwhile. */
export async function follow(client: HubClient, version: Version, streams: Streams): Promise<Version> {
  let now = version;
  let said = '';
  while (now.state === 'validating' || now.state === 'optimizing') {
    const doing = `${now.state}: ${now.detail ?? ''}`;
    if (doing !== said) streams.stderr.write(`${doing}\n`);
    said = doing;
    await sleep(POLL_MS);
    now = await client.get(`/api/v1/models/${now.model}/versions/${now.version}`, versionSchema);
  }
  return now;
}
