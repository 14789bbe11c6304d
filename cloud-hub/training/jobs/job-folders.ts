// The folders of jobs: `jobs/ID/` with the order, the checkpoints and what the process made (job-order.ts), and the pid of the process
// that works there. A folder is needed while its job can go on; of failed jobs the newest few are kept for whoever looks into them.
import { join } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import { checkpointSteps } from '@tidegate/shared/training/checkpoints.js';
import {
  CHECKPOINTS_FOLDER,
  ORDER_FILE,
  RESULT_GRAPH_FILE,
  type JobOrder,
  type JobResult,
} from '../job-process/job-order.js';
import { readResult } from '../job-process/read-result.js';

const PROCESS_FILE = 'process.pid';

export class JobFolders {
  readonly #root: string;
  readonly #files: Files;

  constructor(root: string, files: Files) {
    this.#root = root;
    this.#files = files;
  }

  of(id: string): string {
    return join(this.#root, id);
  }

  resultGraph(id: string): string {
    return join(this.of(id), RESULT_GRAPH_FILE);
  }

  async writeOrder(order: JobOrder): Promise<void> {
    await this.#files.writeAtomic('job.order', join(this.of(order.job), ORDER_FILE), `${JSON.stringify(order)}\n`);
  }

  async writePid(id: string, pid: number): Promise<void> {
    await this.#files.writeAtomic('job.pid', join(this.of(id), PROCESS_FILE), String(pid));
  }

  /** Of the process that was last started there; undefined where none was. */
  async readPid(id: string): Promise<number | undefined> {
    const path = join(this.of(id), PROCESS_FILE);
    if ((await this.#files.sizeBytes('job.pid', path)) === undefined) return undefined;
    const text = new TextDecoder().decode(await this.#files.read('job.pid', path));
    return /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : undefined;
  }

  /** Updates in the newest checkpoint; 0 where there is none. */
  async checkpointStep(id: string): Promise<number> {
    const names = await this.#files.list('job.checkpoints', join(this.of(id), CHECKPOINTS_FOLDER));
    return checkpointSteps(names)[0] ?? 0;
  }

  /** Undefined where there is none that reads back, or its graph isn't there. */
  readResult(id: string): Promise<JobResult | undefined> {
    return readResult(this.of(id), this.#files);
  }

  async remove(id: string): Promise<void> {
    await this.#files.remove('job.remove', this.of(id));
  }

  /** Ids of all jobs that have one. */
  async list(): Promise<string[]> {
    return this.#files.list('job.folders', this.#root);
  }
}
