// Reads what a repository's folder holds: the set that timestamp.json makes count, and the highest numbers in use, among them
// files of a run that was killed before its timestamp was written.
import { join } from 'node:path';
import { Metadata, MetadataKind, type Root, type Snapshot, type Targets, type Timestamp } from '@tufjs/models';
import type { Files } from '@tidegate/shared/system/files.js';
import { SecurityError } from './security-error.js';

/** Metadata that belong together. */
export interface SignedSet {
  readonly targets: Metadata<Targets>;
  readonly snapshot: Metadata<Snapshot>;
  readonly timestamp: Metadata<Timestamp>;
}

interface RepositoryState {
  /** The newest root; undefined where none was ever written. */
  readonly root: Metadata<Root> | undefined;
  /** Undefined where no timestamp was ever written. */
  readonly current: SignedSet | undefined;
  readonly highest: Readonly<Record<'root' | 'targets' | 'snapshot', number>>;
}

/** Rejects with SecurityError `metadata-damaged` when files that the timestamp counts on are missing or can't be read. */
export async function readNewest(folder: string, files: Files): Promise<RepositoryState> {
  const names = await files.list('tuf.list', folder);
  const highest = { root: 0, targets: 0, snapshot: 0 };
  for (const name of names) {
    const match = /^(\d{1,9})\.(root|targets|snapshot)\.json$/.exec(name);
    const role = match?.[2] as keyof typeof highest | undefined;
    if (role !== undefined) highest[role] = Math.max(highest[role], Number(match?.[1]));
  }
  const load = async (name: string): Promise<Parameters<typeof Metadata.fromJSON>[1]> =>
    JSON.parse(Buffer.from(await files.read('tuf.read', join(folder, name))).toString('utf8'));
  try {
    const root =
      highest.root === 0 ? undefined : Metadata.fromJSON(MetadataKind.Root, await load(`${highest.root}.root.json`));
    if (!names.includes('timestamp.json')) return { root, current: undefined, highest };
    const timestamp = Metadata.fromJSON(MetadataKind.Timestamp, await load('timestamp.json'));
    const snapshotVersion = timestamp.signed.snapshotMeta.version;
    const snapshot = Metadata.fromJSON(MetadataKind.Snapshot, await load(`${snapshotVersion}.snapshot.json`));
    const targetsVersion = snapshot.signed.meta['targets.json']?.version ?? 0;
    const targets = Metadata.fromJSON(MetadataKind.Targets, await load(`${targetsVersion}.targets.json`));
    return { root, current: { targets, snapshot, timestamp }, highest };
  } catch (cause) {
    throw new SecurityError('metadata-damaged', `the update repository in ${folder} can't be read`, { cause });
  }
}
