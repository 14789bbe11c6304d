// Starting an executor's process, behind one interface: on Linux without a fork (posix-child.ts), elsewhere by Node's own spawn.
//
// Invariants: `closed` settles exactly once, when the process is gone and all that it wrote has been read, also where it never
// started; nothing of it is left by then, no descriptor and no zombie.
import { spawn } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import type { Log } from '../system/log.js';

export interface ChildOrder {
  /** The program's path. */
  readonly command: string;
  readonly args: readonly string[];
  /** Its whole environment. */
  readonly env: NodeJS.ProcessEnv;
  /** Becomes its descriptor 4; stays open here. */
  readonly sharedFd: number | undefined;
}

export type ChildEnd =
  | { readonly code: number | null; readonly signal: NodeJS.Signals | null }
  /** It never started. */
  | { readonly failure: Error };

export interface ExecutorChild {
  /** Undefined until it has started, which takes a moment, and where it can't. */
  readonly pid: number | undefined;
  /** Its descriptor 3. */
  readonly pipe: Duplex;
  /** Its descriptor 2; 0 and 1 are /dev/null. */
  readonly stderr: Readable;
  readonly closed: Promise<ChildEnd>;
  /** SIGKILL, also before it has started; nothing once it is gone. */
  kill(): void;
}

/** Throws, and leaves nothing behind, where descriptors have run out. What else goes wrong is in `closed`. */
export type StartChild = (order: ChildOrder) => ExecutorChild;

/** The better way that this platform has. Who asks for the engine `binding` wants no koffi: then it isn't loaded here either. */
export async function chooseStart(log: Log, engine?: 'capi' | 'binding'): Promise<StartChild> {
  if (process.platform !== 'linux' || engine === 'binding') return forkChild;
  try {
    return await (await import('./posix-child.js')).posixStart();
  } catch (error) {
    log.info(
      { error: String(error) },
      'executors are started by fork, which stops this process for a moment: no koffi',
    );
    return forkChild;
  }
}

/** By Node: forks, and so copies this process's page tables while it stands still. (On macOS libuv doesn't.) */
export const forkChild: StartChild = ({ command, args, env, sharedFd }) => {
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', ...(sharedFd === undefined ? [] : [sharedFd])],
    env,
  });
  const closed = new Promise<ChildEnd>((resolve) => {
    // Before anything can throw: unheard, it would end this process. One that runs tells its end by `close`.
    child.on('error', (failure) => child.pid === undefined && resolve({ failure }));
    child.on('close', (code, signal) => resolve({ code, signal })); // not `exit`: what it wrote has been read by then
  });
  // Node leaves `stdio` out where no file descriptor was left for it.
  if ((child.stdio as readonly unknown[] | undefined) === undefined) throw new Error('no file descriptors left');
  return {
    pid: child.pid,
    pipe: child.stdio[3] as Duplex,
    stderr: child.stderr as Readable,
    closed,
    kill: () => void child.kill('SIGKILL'),
  };
};
