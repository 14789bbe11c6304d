// A training job's row as the service writes it, without a service.
import { insertJob, type JobRecord } from '@tidegate/cloud-hub/training/jobs/job-store.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { createJobSchema } from '@tidegate/shared/wire/training-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';

export async function addJob(db: Database, id: string, change: Partial<JobRecord> = {}): Promise<void> {
  const request = createJobSchema.parse({ model: 'tiny', parent: '1', datasets: ['hard@1'] });
  const job: JobRecord = {
    id,
    model: 'tiny',
    parent: 1,
    parentDigest: sha256('tiny@1'),
    request: { ...request, threads: 1, memoryLimitBytes: 2 ** 30 },
    datasets: [{ spec: 'hard@1', digest: sha256('hard@1') }],
    slices: [],
    priority: 0,
    state: 'queued',
    detail: undefined,
    progress: undefined,
    evaluation: undefined,
    version: undefined,
    createdBy: 'token:t',
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: undefined,
    endedAt: undefined,
    ...change,
  };
  await db.transaction().execute((trx) => insertJob(trx, job));
}
