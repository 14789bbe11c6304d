// A training job's process seen from the hub: started with the job's folder, heard by IPC, told to leave (SIGTERM: it saves and exits),
// killed when it doesn't. It leads a process group of its own, so that whatever it started ends with it, and a Ctrl-C meant for the
// hub doesn't reach it before the hub has decided.
import { fork, type ChildProcess } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { jobMessageSchema, type JobMessage } from '../job-process/job-order.js';
import type { ProcessEnd } from './judge-end.js';

const STDERR_KEPT_CHARS = 4_000;
/** What saving a checkpoint may take. */
const LEAVE_LIMIT_MS = 15_000;
/** Messages that were sent before the exit are waited for so long. */
const LAST_WORDS_MS = 1_000;
const GONE_POLL_MS = 20;
const GONE_LIMIT_MS = 5_000;

interface TrainerProcessOptions {
  /** The compiled entry point. */
  readonly entry: string;
  readonly folder: string;
  readonly label: string;
}

interface TrainerProcessModules {
  readonly clock: Clock;
  readonly log: Log;
  readonly onMessage: (message: JobMessage) => void;
}

export class TrainerProcess {
  /** Undefined where it could not be started; `ended` says why. */
  readonly pid: number | undefined;
  /** Settles when it and all that it started are gone, and what it said has been heard. */
  readonly ended: Promise<ProcessEnd>;
  readonly #child: ChildProcess;
  readonly #modules: TrainerProcessModules;
  #failure: string | undefined;
  #stderr = '';
  #isGone = false;
  #cancelKill: (() => void) | undefined;

  constructor({ entry, folder, label }: TrainerProcessOptions, modules: TrainerProcessModules) {
    this.#modules = modules;
    const { NODE_OPTIONS: _, ...env } = process.env; // a debugger's or test runner's options are not the job's
    this.#child = fork(entry, [folder], {
      execArgv: [],
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.ended = this.#end();
    this.pid = this.#child.pid;
    this.#child.on('message', (message) => this.#hear(message));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT_CHARS);
      modules.log.debug({ job: label, trainerPid: this.pid, text: text.trimEnd() }, 'a training job says');
    });
  }

  /** SIGTERM; SIGKILL where it takes too long. */
  leave(): void {
    if (this.#isGone || this.#cancelKill !== undefined) return;
    this.#cancelKill = this.#modules.clock.after(LEAVE_LIMIT_MS, () => this.kill());
    this.#child.kill('SIGTERM');
  }

  /** It and everything that it started. */
  kill(): void {
    if (!this.#isGone) killGroup(this.pid);
  }

  async #end(): Promise<ProcessEnd> {
    const disconnected = new Promise<void>((resolve) => this.#child.once('disconnect', resolve));
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      this.#child.once('exit', (...how) => resolve(how));
      this.#child.once('error', (cause) => {
        this.#stderr += `\nError: it can't be started: ${cause.message}`;
        if (this.#child.pid === undefined) resolve([null, null]);
      });
    });
    this.#isGone = true;
    this.#cancelKill?.();
    killGroup(this.#child.pid);
    await Promise.race([disconnected, delay(this.#modules.clock, LAST_WORDS_MS, new AbortController().signal)]);
    await new Promise((resolve) => setImmediate(resolve)); // a message read together with the disconnect
    return { code, signal, failure: this.#failure, stderr: this.#stderr };
  }

  #hear(message: unknown): void {
    const parsed = jobMessageSchema.safeParse(message);
    if (!parsed.success) {
      this.#modules.log.warn({ trainerPid: this.pid, err: parsed.error }, 'a training job said something unexpected');
      return;
    }
    if (parsed.data.kind === 'failed') this.#failure = parsed.data.message;
    this.#modules.onMessage(parsed.data);
  }
}

/** Ends what an earlier hub left working in `folder`. `pid` may be somebody else's by now: then its command line says so. */
export async function endLeftover(pid: number, folder: string, clock: Clock): Promise<void> {
  if (!(await worksIn(pid, folder))) return;
  killGroup(pid);
  for (let waitedMs = 0; waitedMs < GONE_LIMIT_MS && (await worksIn(pid, folder)); waitedMs += GONE_POLL_MS) {
    await delay(clock, GONE_POLL_MS, new AbortController().signal);
  }
}

async function worksIn(pid: number, folder: string): Promise<boolean> {
  try {
    return (await fs.readFile(`/proc/${pid}/cmdline`, 'utf8')).includes(folder);
  } catch {
    return false; // gone, or no Linux: there its end is left to the closed IPC channel
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause;
  }
}
