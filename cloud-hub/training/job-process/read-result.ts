// What a process leaves when its job is done, read back by the hub and by a process that was started again alike, so that both say the same
// of it: there is a result only where its file is whole and its graph is there.
import { join } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import { jobResultSchema, RESULT_FILE, RESULT_GRAPH_FILE, type JobResult } from './job-order.js';

/** Undefined where there is none. Rejects with the file system's errors. */
export async function readResult(folder: string, files: Files): Promise<JobResult | undefined> {
  const path = join(folder, RESULT_FILE);
  for (const needed of [path, join(folder, RESULT_GRAPH_FILE)]) {
    if ((await files.sizeBytes('job.result', needed)) === undefined) return undefined;
  }
  const text = new TextDecoder().decode(await files.read('job.result', path));
  return jobResultSchema.safeParse(parseJson(text)).data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema says no
  }
}
