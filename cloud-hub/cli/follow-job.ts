// Follows a training job until it ends: on a terminal one line that is written over, elsewhere a plain line every few seconds, both on stderr.
// Ctrl-C lets go of the job and doesn't end it: it is the hub's.
import { setTimeout as sleep } from 'node:timers/promises';
import { jobSchema, type Job } from '@tidegate/shared/wire/training-api.js';
import { CliError } from './cli-error.js';
import type { CliContext } from './context.js';
import { HubProblem, type HubClient } from './hub-client.js';
import { progressLine } from './job-text.js';
import type { Streams } from './output.js';

const POLL_MS = 400;
const PLAIN_LINE_MS = 3_000;
/** A hub that restarts is waited for: the job goes on with it. */
const RETRY_MS = 1_000;
const RETRIES = 60;
const ENDED: ReadonlySet<Job['state']> = new Set(['succeeded', 'failed', 'cancelled']);

/** Throws CliError where it is let go. */
export async function followJob(client: HubClient, job: Job, context: CliContext): Promise<Job> {
  const letGo = new AbortController();
  const onInterrupt = (): void => letGo.abort();
  process.once('SIGINT', onInterrupt);
  const line = new ProgressLine(context);
  try {
    let now = job;
    for (;;) {
      line.show(now);
      if (ENDED.has(now.state)) return now;
      await sleep(POLL_MS, undefined, { signal: letGo.signal });
      now = await readJob(client, job.id, letGo.signal);
    }
  } catch (cause) {
    if (!letGo.signal.aborted) throw cause;
    const message = `job ${job.id} goes on; follow it: tidegate job follow ${job.id}; end it: tidegate job cancel ${job.id}`;
    throw new CliError(message, { cause });
  } finally {
    process.off('SIGINT', onInterrupt);
    line.end();
  }
}

async function readJob(client: HubClient, id: string, signal: AbortSignal): Promise<Job> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await client.get(`/api/v1/jobs/${encodeURIComponent(id)}`, jobSchema);
    } catch (cause) {
      const isAnswer = cause instanceof HubProblem && cause.status < 500;
      if (isAnswer || !(cause instanceof CliError) || tries > RETRIES) throw cause;
      await sleep(RETRY_MS, undefined, { signal });
    }
  }
}

/** Throws CliError unless it succeeded with a version that may roll out. */
export function requireSuccess(job: Job): void {
  if (job.state !== 'succeeded')
    throw new CliError(`job ${job.id} ${job.state}: ${job.detail ?? 'no reason is known'}`);
  if (job.evaluation?.passed === false) throw new CliError(job.detail ?? job.evaluation.reason);
}

class ProgressLine {
  readonly #stderr: Streams['stderr'] & { readonly columns?: number };
  readonly #isTerminal: boolean;
  #said = '';
  #phase = '';
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor({ stderr }: Streams) {
    this.#stderr = stderr;
    this.#isTerminal = stderr.isTTY === true;
  }

  show(job: Job): void {
    const text = progressLine(job);
    if (text === this.#said) return;
    const phase = `${job.state} ${job.detail ?? ''}`;
    if (this.#isTerminal) this.#stderr.write(`\r\u001b[K${text.slice(0, (this.#stderr.columns ?? 80) - 1)}`);
    else if (phase !== this.#phase || performance.now() - this.#saidAtMs >= PLAIN_LINE_MS) {
      this.#stderr.write(`${text}\n`);
      this.#saidAtMs = performance.now();
    } else return;
    this.#said = text;
    this.#phase = phase;
  }

  end(): void {
    if (this.#isTerminal && this.#said !== '') this.#stderr.write('\n');
  }
}
