// The files of a published version by MLflow's artifact paths, `models/<model>/<version>/<path in the package>`, so that
// `mlflow.artifacts.download_artifacts("models:/digits/1")` brings the package. Runs have no artifacts here.
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { manifestOf, versionRow } from '../registry/version-rows.js';
import type { Database } from '../storage/database.js';
import { missing } from './mlflow-error.js';

interface ArtifactInfo {
  /** Relative to the folder that was asked for. */
  readonly path: string;
  readonly is_dir: boolean;
  readonly file_size?: number;
}

interface PackagePath {
  readonly model: string;
  readonly version: number;
  /** In the package; empty for its root. */
  readonly path: string;
}

/** The files and folders directly in a folder; none where it isn't one. */
export async function listPackage(db: Database, artifactPath: string): Promise<ArtifactInfo[]> {
  const place = placeOf(artifactPath);
  if (place === undefined) return [];
  const prefix = place.path === '' ? '' : `${place.path}/`;
  const found = new Map<string, ArtifactInfo>();
  for (const { path, sizeBytes } of await filesOf(db, place)) {
    if (!path.startsWith(prefix)) continue;
    const [name = '', ...deeper] = path.slice(prefix.length).split('/');
    found.set(
      name,
      deeper.length > 0 ? { path: name, is_dir: true } : { path: name, is_dir: false, file_size: sizeBytes },
    );
  }
  return [...found.values()];
}

/** RESOURCE_DOES_NOT_EXIST where no version has such a file. */
export async function packageFile(db: Database, artifactPath: string): Promise<{ digest: Digest; sizeBytes: number }> {
  const place = placeOf(artifactPath);
  const files = place === undefined ? [] : await filesOf(db, place);
  const file = files.find(({ path }) => path === place?.path);
  if (file === undefined) throw missing(`path: no file ${artifactPath}`);
  return file;
}

function placeOf(artifactPath: string): PackagePath | undefined {
  const match = /^\/?models\/([^/]+)\/(\d{1,9})(?:\/(.*))?$/s.exec(artifactPath);
  if (match?.[1] === undefined) return undefined;
  return { model: match[1], version: Number(match[2]), path: (match[3] ?? '').replace(/\/$/, '') };
}

async function filesOf(
  db: Database,
  { model, version }: PackagePath,
): Promise<readonly { path: string; sizeBytes: number; digest: Digest }[]> {
  const row = await versionRow(db, model, version);
  return row === undefined ? [] : manifestOf(row).files;
}
