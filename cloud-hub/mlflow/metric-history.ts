// All points of a metric, oldest first. Of a run that shows a training job they are the points of the job's own chart; what such a job
// measured once, at its end, is the one point that stands among the latest.
import type { z } from 'zod';
import type { Database } from '../storage/database.js';
import { jobHistory } from './job-runs.js';
import { offsetOf, pageToken } from './page-token.js';
import type * as requests from './requests.js';
import { runRow, showMetric, type ShownMetric } from './run-rows.js';

interface History {
  readonly metrics: readonly ShownMetric[];
  readonly next_page_token?: string;
}

/** No points for a metric that the run doesn't have. */
export async function metricHistory(
  db: Database,
  { run_id, metric_key, max_results, page_token }: z.infer<typeof requests.getHistory>,
): Promise<History> {
  const run = await runRow(db, run_id);
  const offset = offsetOf(page_token);
  const range = { offset, limit: max_results + 1 };
  const logged = db
    .selectFrom(run.job === null ? 'mlflow_metrics' : 'mlflow_latest')
    .selectAll()
    .where('run', '=', run_id)
    .where('key', '=', metric_key)
    .orderBy('at_ms')
    .orderBy('step')
    .orderBy('value')
    .limit(range.limit)
    .offset(offset);
  const rows = (await jobHistory(db, run, metric_key, range)) ?? (await logged.execute());
  const metrics = rows.slice(0, max_results).map(showMetric);
  return { metrics, ...(rows.length > max_results ? { next_page_token: pageToken(offset + max_results) } : {}) };
}
