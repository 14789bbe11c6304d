// Training: jobs in processes of their own, their results into the registry, lineage, and OpenLineage where it is asked for. It writes through
// the registry, so it is opened after it and closed before it.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { HUB_VERSION } from '../hub-version.js';
import { PackageFolders } from '../registry/package-folders.js';
import { recordAudit } from '../security/audit.js';
import { JobFolders } from '../training/jobs/job-folders.js';
import { JobService, type JobServiceOptions, type Milestone } from '../training/jobs/job-service.js';
import type { JobRecord } from '../training/jobs/job-store.js';
import type { RunPackage } from '../training/jobs/renew-goldens.js';
import { runEvent, type RunEventType } from '../training/lineage/open-lineage-event.js';
import { OpenLineageSender } from '../training/lineage/open-lineage-sender.js';
import { resolveAnswer } from '../training/lineage/resolve-answer.js';
import { traceLineage } from '../training/lineage/trace-lineage.js';
import type { TraceLineage } from '../api/lineage-routes.js';
import type { Closing } from './closing.js';
import { loadAsPublished, type RegistryParts } from './open-registry.js';
import type { Parts } from './parts.js';

/** Least time between two checkpoints: what a kill costs at most. */
const CHECKPOINT_EVERY_MS = 5_000;
const GOLDEN_TIMEOUT_MS = 60_000;
const PRODUCER = `urn:tidegate:hub:${HUB_VERSION}`;

/** Processes always start from the compiled tree, also when this file runs from source. */
const JOB_PROCESS = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../dist/training/job-process/main.js' : '../training/job-process/main.js',
    import.meta.url,
  ),
);

export interface TrainingParts {
  readonly jobs: JobService;
  readonly trace: TraceLineage;
}

/** `jobs.start()` is the caller's, once the rest of the hub stands. `instead`: another process or other checkpoints, for tests. */
export function openTraining(
  parts: Parts,
  { registry, uploads }: RegistryParts,
  closing: Closing,
  instead: Partial<Pick<JobServiceOptions, 'entry' | 'checkpointEveryMs'>> = {},
): TrainingParts {
  const { settings, paths, db, files, clock, log, content, events } = parts;
  const tell = openTelling(parts, closing);
  const jobs = new JobService(
    {
      places: settings.trainingJobs,
      entry: JOB_PROCESS,
      defaults: {
        threads: Math.max(1, Math.floor(availableParallelism() / 2)),
        memoryLimitBytes: settings.trainingMemory,
      },
      contentFolder: paths.content,
      checkpointEveryMs: CHECKPOINT_EVERY_MS,
      ...instead,
    },
    {
      db,
      registry,
      uploads,
      packages: new PackageFolders(paths.packages, content),
      jobs: new JobFolders(paths.jobs, files),
      audit: recordAudit,
      events,
      files,
      clock,
      log,
      run: runPackage(parts),
      codeVersion: HUB_VERSION,
      onJob: (job) => events.emit({ kind: 'job', job }),
      onMilestone: tell,
    },
  );
  closing.add('training', () => jobs.close());
  const trace: TraceLineage = async (model, spec) =>
    traceLineage({ db, content }, model, await resolveAnswer({ db, registry }, model, spec));
  return { jobs, trace };
}

/** A package that isn't a version yet, answering as a device would. */
function runPackage(parts: Parts): RunPackage {
  const load = loadAsPublished(parts);
  return async (pack, signal) => {
    const model = await load(pack, signal);
    return {
      answer: async (inputs, outputs, inner) => {
        const deadlineMs = parts.clock.monotonicMs() + GOLDEN_TIMEOUT_MS;
        return (await model.infer({ inputs, outputs, deadlineMs, priority: 0 }, inner)).outputs;
      },
      close: () => model.close(),
    };
  };
}

const EVENT_TYPES: Readonly<Record<Milestone, RunEventType>> = {
  started: 'START',
  succeeded: 'COMPLETE',
  failed: 'FAIL',
  cancelled: 'ABORT',
};

function openTelling({ settings, clock, log }: Parts, closing: Closing): (job: JobRecord, what: Milestone) => void {
  const url = settings.openlineageUrl;
  if (url === undefined) return () => undefined;
  const sender = new OpenLineageSender(url, { clock, log });
  closing.add('openlineage', () => sender.close());
  return (job, what) => sender.send(runEvent(job, EVENT_TYPES[what], PRODUCER, clock.nowMs()));
}
