// What lies where in the hub's data folder, and whether `tidegate-hub init` has made it. The marker is written last, so a folder
// that has it is complete.
//   hub.json  hub.db  running (while a hub runs)  content/  packages/, engine-cache/ and threads.json (caches)  work/ (emptied at start)  jobs/ (one folder per training job)  keys/  tuf/
import { join } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import { z } from 'zod';

const markerSchema = z.object({ format: z.literal(1), createdAt: z.string() });

export class DataFolderError extends Error {
  override readonly name = 'DataFolderError';
}

export function dataPaths(dataDir: string) {
  return {
    marker: join(dataDir, 'hub.json'),
    database: join(dataDir, 'hub.db'),
    running: join(dataDir, 'running'),
    content: join(dataDir, 'content'),
    packages: join(dataDir, 'packages'),
    engineCache: join(dataDir, 'engine-cache'),
    threads: join(dataDir, 'threads.json'),
    work: join(dataDir, 'work'),
    jobs: join(dataDir, 'jobs'),
    keys: join(dataDir, 'keys'),
    tuf: join(dataDir, 'tuf'),
  } as const;
}
export type DataPaths = ReturnType<typeof dataPaths>;

/** Rejects with DataFolderError where the folder isn't initialised, or was by a newer hub. */
export async function requireInitialised(files: Files, dataDir: string): Promise<DataPaths> {
  const paths = dataPaths(dataDir);
  if (!(await isInitialised(files, dataDir))) {
    throw new DataFolderError(
      `${dataDir} is not a hub's data folder yet; run: tidegate-hub init --data-dir ${dataDir}`,
    );
  }
  const text = Buffer.from(await files.read('hub.marker', paths.marker)).toString('utf8');
  try {
    markerSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DataFolderError(`${paths.marker} is damaged, or of a newer hub`, { cause });
  }
  return paths;
}

export async function isInitialised(files: Files, dataDir: string): Promise<boolean> {
  return (await files.sizeBytes('hub.marker', dataPaths(dataDir).marker)) !== undefined;
}

export async function markInitialised(files: Files, dataDir: string, nowMs: number): Promise<void> {
  const marker = { format: 1, createdAt: new Date(nowMs).toISOString() };
  await files.writeAtomic('hub.mark', dataPaths(dataDir).marker, `${JSON.stringify(marker)}\n`);
}
