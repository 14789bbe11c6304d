// From a complete upload to a version. What can be known from model.yaml alone is checked before anything changes; what needs the
// graphs is the pipeline's, on the version that exists then as `validating`. Identity is the manifest's digest, so publishing
// the same content again finds the same version; where that one had been refused, it is looked at again.
import type { Transaction } from 'kysely';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { ContentStore } from '@tidegate/shared/content/content-store.js';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { readModelYaml, LIMIT_MODEL_YAML_BYTES } from '@tidegate/shared/package/read-model-yaml.js';
import { canonicalManifest, manifestDigest, type VersionManifest } from '@tidegate/shared/wire/manifest.js';
import type { ModelYaml } from '@tidegate/shared/wire/model-yaml.js';
import { recordAudit } from '../security/audit.js';
import type { Database, Tables } from '../storage/database.js';
import { RegistryError } from './registry-error.js';
import { labelProblem } from './resolve-spec.js';
import type { OpenUpload, Uploads } from './uploads.js';
import { versionRow, type VersionRow } from './version-rows.js';

export interface PublishModules {
  readonly db: Database;
  readonly content: ContentStore;
  readonly uploads: Uploads;
  readonly clock: Clock;
}

/** What else belongs to a new version's row: called in the transaction that makes it, and not for content that was a version already. */
export type OnNewVersion = (trx: Transaction<Tables>, row: VersionRow) => Promise<void>;

/**
 * Idempotent, also for an upload that was completed before. Rejects with RegistryError: `not-found` (the upload), `conflict` (files
 * missing, label taken), `invalid` (model.yaml, licence).
 */
export async function publishUpload(
  modules: PublishModules,
  uploadId: string,
  actor: string,
  onNewVersion: OnNewVersion = async () => undefined,
): Promise<VersionRow> {
  const upload = await modules.uploads.get(uploadId);
  if (upload.version !== undefined) {
    const row = await versionRow(modules.db, upload.model, upload.version);
    if (row !== undefined) return row;
  }
  await requireFiles(modules.content, upload);
  const yaml = await readYaml(modules.content, upload);
  const manifest: VersionManifest = { kind: 'version', model: upload.model, files: [...upload.files] };
  return modules.db.transaction().execute(async (trx) => {
    const { row, isNew } = await insertVersion(trx, upload, yaml, manifest, actor, modules.clock.nowMs());
    if (isNew) await onNewVersion(trx, row);
    return row;
  });
}

async function requireFiles(content: ContentStore, upload: OpenUpload): Promise<void> {
  for (const file of upload.files) {
    if (await content.has(file.digest)) continue;
    const received = await content.partialBytes(file.digest);
    throw new RegistryError('conflict', `${file.path} is not complete: ${received} of ${file.sizeBytes} bytes came`, {
      field: `files/${file.path}`,
    });
  }
}

async function readYaml(content: ContentStore, upload: OpenUpload): Promise<ModelYaml> {
  const entry = upload.files.find((file) => file.path === 'model.yaml');
  if (entry === undefined) {
    throw new RegistryError(
      'invalid',
      'the package has no model.yaml (tidegate model init FILE.onnx writes a first one)',
      {
        field: 'model.yaml',
      },
    );
  }
  if (entry.sizeBytes > LIMIT_MODEL_YAML_BYTES) {
    throw new RegistryError('too-large', `model.yaml has ${entry.sizeBytes} bytes; at most ${LIMIT_MODEL_YAML_BYTES}`, {
      field: 'model.yaml',
    });
  }
  const yaml = parseYaml(new TextDecoder().decode(await content.read(entry.digest)));
  if (yaml.name !== upload.model) {
    throw invalidYaml('name', `says ${yaml.name}, but the upload is for the model ${upload.model}`);
  }
  if (yaml.licence === 'unknown' && !upload.allowUnknownLicence) {
    throw invalidYaml('licence', 'is unknown; state an SPDX identifier, or publish with --allow-unknown-licence');
  }
  const label = yaml.version === undefined ? undefined : labelProblem(yaml.version);
  if (label !== undefined) throw invalidYaml('version', label);
  checkNamedFiles(yaml, upload);
  return yaml;
}

function parseYaml(text: string): ModelYaml {
  try {
    return readModelYaml(text);
  } catch (cause) {
    if (!(cause instanceof PackageError)) throw cause;
    const field = cause.place.field;
    throw new RegistryError('invalid', cause.message, { cause, field: field ? `model.yaml#${field}` : 'model.yaml' });
  }
}

function checkNamedFiles(yaml: ModelYaml, upload: OpenUpload): void {
  const paths = new Set(upload.files.map((file) => file.path));
  for (const [index, node] of yaml.pipeline.entries()) {
    if ('graph' in node && !paths.has(node.graph)) {
      throw invalidYaml(`pipeline.${index}.graph`, `names ${node.graph}, which the package doesn't hold`);
    }
  }
  if (yaml.goldens !== undefined && !paths.has(yaml.goldens.file)) {
    throw invalidYaml('goldens.file', `names ${yaml.goldens.file}, which the package doesn't hold`);
  }
}

function invalidYaml(field: string, message: string): RegistryError {
  return new RegistryError('invalid', `model.yaml, ${field}: ${message}`, { field: `model.yaml#${field}` });
}

async function insertVersion(
  trx: Transaction<Tables>,
  upload: OpenUpload,
  yaml: ModelYaml,
  manifest: VersionManifest,
  actor: string,
  nowMs: number,
): Promise<{ row: VersionRow; isNew: boolean }> {
  const digest = manifestDigest(manifest);
  const createdAt = new Date(nowMs).toISOString();
  const known = await trx
    .selectFrom('versions')
    .selectAll()
    .where('model', '=', upload.model)
    .where('digest', '=', digest)
    .executeTakeFirst();
  if (known === undefined || known.state === 'refused') await requireFreeLabel(trx, upload.model, yaml.version);
  await trx
    .insertInto('models')
    .values({ name: upload.model, description: yaml.description ?? null, created_at: createdAt })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ description: yaml.description ?? null }))
    .execute();
  const row = known ?? (await insertRow(trx, upload, yaml, manifest, digest, createdAt));
  if (known?.state === 'refused') await lookAgain(trx, known, yaml.version ?? null);
  await trx.updateTable('uploads').set({ version: row.version }).where('id', '=', upload.id).execute();
  if (known === undefined || known.state === 'refused') {
    const subject = `${upload.model}@${row.version}`;
    const detail = { digest, licence: yaml.licence, ...(yaml.version === undefined ? {} : { label: yaml.version }) };
    await recordAudit(trx, { actor, action: 'model.publish', subject, detail }, nowMs);
  }
  return { row: (await versionRow(trx, row.model, row.version)) ?? row, isNew: known === undefined };
}

async function insertRow(
  trx: Transaction<Tables>,
  upload: OpenUpload,
  yaml: ModelYaml,
  manifest: VersionManifest,
  digest: string,
  createdAt: string,
): Promise<VersionRow> {
  const newest = await trx
    .selectFrom('versions')
    .select(({ fn }) => fn.max('version').as('version'))
    .where('model', '=', upload.model)
    .executeTakeFirst();
  const row: VersionRow = {
    model: upload.model,
    version: Number(newest?.version ?? 0) + 1,
    digest,
    label: yaml.version ?? null,
    licence: yaml.licence,
    privacy: JSON.stringify(yaml.privacy),
    state: 'validating',
    detail: 'waiting for its turn',
    size_bytes: upload.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    manifest: canonicalManifest(manifest),
    created_at: createdAt,
  };
  await trx.insertInto('versions').values(row).execute();
  return row;
}

/** A refused version gives its label free, so it takes it again here. */
async function lookAgain(trx: Transaction<Tables>, row: VersionRow, label: string | null): Promise<void> {
  await trx
    .updateTable('versions')
    .set({ state: 'validating', detail: 'waiting for its turn', label })
    .where('model', '=', row.model)
    .where('version', '=', row.version)
    .execute();
}

async function requireFreeLabel(trx: Transaction<Tables>, model: string, label: string | undefined): Promise<void> {
  if (label === undefined) return;
  const holder = await trx
    .selectFrom('versions')
    .select('version')
    .where('model', '=', model)
    .where('label', '=', label)
    .where('state', '!=', 'refused')
    .executeTakeFirst();
  if (holder === undefined) return;
  const message = `model.yaml, version: the label ${label} already names ${model}@${holder.version}, whose content is another`;
  throw new RegistryError('conflict', message, { field: 'model.yaml#version' });
}
