// Training jobs in the words of OpenLineage (spec 2-0-2): a job is a run, dataset versions are its inputs, the model version is its output.
// The run's id is made from the job's, so a hub that restarts goes on telling of the same run. Pure.
import { createHash } from 'node:crypto';
import type { JobRecord } from '../jobs/job-store.js';

const SCHEMA_URL = 'https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent';
const VERSION_FACET_URL = facetUrl('DatasetVersionDatasetFacet');
const ERROR_FACET_URL = facetUrl('ErrorMessageRunFacet');
const NAMESPACE = 'tidegate';

export type RunEventType = 'START' | 'COMPLETE' | 'FAIL' | 'ABORT';

interface OpenLineageDataset {
  readonly namespace: string;
  readonly name: string;
  readonly facets: Readonly<Record<string, unknown>>;
}

export interface RunEvent {
  readonly eventType: RunEventType;
  readonly eventTime: string;
  readonly producer: string;
  readonly schemaURL: string;
  readonly run: { readonly runId: string; readonly facets: Readonly<Record<string, unknown>> };
  readonly job: {
    readonly namespace: string;
    readonly name: string;
    readonly facets: Readonly<Record<string, unknown>>;
  };
  readonly inputs: readonly OpenLineageDataset[];
  readonly outputs: readonly OpenLineageDataset[];
}

/** `producer`: an address that says which program tells it. */
export function runEvent(job: JobRecord, eventType: RunEventType, producer: string, nowMs: number): RunEvent {
  const versioned = (name: string, version: string | number): OpenLineageDataset => ({
    namespace: NAMESPACE,
    name,
    facets: {
      version: { _producer: producer, _schemaURL: VERSION_FACET_URL, datasetVersion: String(version) },
    },
  });
  const sources = [...job.datasets, ...job.slices].map(({ spec }) => spec.split('@'));
  const error = { _producer: producer, _schemaURL: ERROR_FACET_URL, programmingLanguage: 'TypeScript' };
  const failed = eventType === 'FAIL' || eventType === 'ABORT';
  return {
    eventType,
    eventTime: new Date(nowMs).toISOString(),
    producer,
    schemaURL: SCHEMA_URL,
    run: {
      runId: runIdOf(job.id),
      facets: failed ? { errorMessage: { ...error, message: job.detail ?? eventType } } : {},
    },
    job: { namespace: NAMESPACE, name: `train.${job.model}`, facets: {} },
    inputs: [
      ...sources.map(([name = '', version = '']) => versioned(`datasets/${name}`, version)),
      versioned(`models/${job.model}`, job.parent),
    ],
    outputs:
      eventType === 'COMPLETE' && job.version !== undefined ? [versioned(`models/${job.model}`, job.version)] : [],
  };
}

function facetUrl(name: string): string {
  return `https://openlineage.io/spec/facets/1-0-1/${name}.json#/$defs/${name}`;
}

/** A UUID of version 8 (RFC 9562): a hash in the form that the specification asks for. */
export function runIdOf(jobId: string): string {
  const bytes = createHash('sha256').update(`tidegate training job ${jobId}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
