// Starts processes by posix_spawn, through koffi. Node's spawn forks: the page tables of this whole process are copied while its
// event loop stands still, milliseconds to hundreds of them by its size and by how busy the cores are. posix_spawn borrows the
// memory until the program begins, and only the thread that calls it waits: here one of libuv's pool (docs/performance.md).
//
// Node knows nothing of such a child, so its end is heard here: once both its sockets are closed it is dying or of no use, and is
// killed and waited for. Nobody else takes its exit status: libuv asks for its own children only, by pid.
// A wrong signature would be a crash of this process: these six functions of the C library are all that it calls, and nothing of
// a model comes near them. Signals are left as they are: the program is Node, which resets what it inherits when it starts.
import assert from 'node:assert';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import koffi from 'koffi';
import type { ChildEnd, ChildOrder, ExecutorChild, StartChild } from './executor-child.js';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
/** The child's descriptor that memory is shared by. */
const SHARED_FD = 4;
/** More than any C library's posix_spawn_file_actions_t has (80 bytes). */
const FILE_ACTIONS_BYTES = 512;

const FUNCTIONS = {
  socketpair: 'int socketpair(int domain, int type, int protocol, _Out_ int* pair)',
  initActions: 'int posix_spawn_file_actions_init(void* actions)',
  addDup2: 'int posix_spawn_file_actions_adddup2(void* actions, int fd, int as)',
  destroyActions: 'int posix_spawn_file_actions_destroy(void* actions)',
  spawn:
    'int posix_spawn(_Out_ int* pid, const char* path, void* actions, void* attributes, const char** argv, const char** envp)',
  waitpid: 'int waitpid(int pid, _Out_ int* status, int options)',
} as const;

type Native = ((...args: unknown[]) => number) & { async: (...args: unknown[]) => void };
type LibC = Readonly<Record<keyof typeof FUNCTIONS, Native>>;

/** Throws where koffi can't call the C library that this process is linked with. */
export function posixStart(): StartChild {
  const library = koffi.load(null);
  const functions = Object.entries(FUNCTIONS).map(([name, signature]) => [name, library.func(signature)]);
  const libc = Object.fromEntries(functions) as LibC;
  return (order) => start(order, libc);
}

function start(order: ChildOrder, libc: LibC): ExecutorChild {
  const { ours, its } = openEnds(libc);
  const pipe = new Socket({ fd: ours.pipe, readable: true, writable: true });
  const stderr = new Socket({ fd: ours.stderr, readable: true, writable: false });
  const silent = Promise.all([pipe, stderr].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  let pid: number | undefined;
  let isKilled = false;
  let isAwaited = false;
  const kill = (): void => {
    isKilled = true;
    if (pid !== undefined && !isAwaited) sigkill(pid); // the pid is its own until somebody has waited for it
  };
  const live = async (): Promise<ChildEnd> => {
    try {
      pid = await spawned(order, [its.nothing, its.nothing, its.stderr, its.pipe], libc);
    } catch (failure) {
      pipe.destroy();
      stderr.destroy();
      return { failure: failure as Error };
    } finally {
      for (const fd of Object.values(its)) closeSync(fd);
    }
    if (isKilled) kill();
    await silent;
    kill();
    isAwaited = true;
    return endOf(pid, libc);
  };
  return {
    get pid() {
      return pid;
    },
    pipe,
    stderr,
    closed: live(),
    kill,
  };
}

interface Ends {
  readonly ours: { readonly pipe: number; readonly stderr: number };
  readonly its: { readonly pipe: number; readonly stderr: number; readonly nothing: number };
}

/** All close on exec. Throws with none left open. */
function openEnds(libc: LibC): Ends {
  const opened: number[] = [];
  const pair = (): readonly [number, number] => {
    const fds: [number, number] = [-1, -1];
    if (libc.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) !== 0)
      throw new Error(`no socket pair: ${errorText(koffi.errno())}`);
    opened.push(...fds);
    return fds;
  };
  try {
    const [pipe, stderr] = [pair(), pair()];
    const nothing = openSync('/dev/null', 'r+');
    return { ours: { pipe: pipe[0], stderr: stderr[0] }, its: { pipe: pipe[1], stderr: stderr[1], nothing } };
  } catch (cause) {
    for (const fd of opened) closeSync(fd);
    throw cause;
  }
}

/** Resolves with the pid once the program has begun. `fds`: what become its descriptors 0, 1, 2 ... */
async function spawned(
  { command, args, env, sharedFd }: ChildOrder,
  fds: readonly number[],
  libc: LibC,
): Promise<number> {
  const actions = Buffer.alloc(FILE_ACTIONS_BYTES);
  assert.equal(libc.initActions(actions), 0);
  const wanted = [...fds.entries(), ...(sharedFd === undefined ? [] : [[SHARED_FD, sharedFd] as const])];
  for (const [as, fd] of wanted) {
    assert(fd > SHARED_FD, 'one that is overwritten before it is copied'); // Node itself holds the first dozen
    assert.equal(libc.addDup2(actions, fd, as), 0);
  }
  const environment = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${value}`));
  const pid: [number] = [-1];
  const order = [pid, command, actions, null, [command, ...args, null], [...environment, null]];
  try {
    const error = await called(libc.spawn, ...order);
    if (error !== 0) throw new Error(`spawn ${command}: ${errorText(error)}`);
    return pid[0];
  } finally {
    libc.destroyActions(actions);
  }
}

function sigkill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ESRCH') throw cause;
  }
}

/** Of a process that is gone or about to be; all null where nobody can say. Never rejects. */
async function endOf(pid: number, libc: LibC): Promise<ChildEnd> {
  const status: [number] = [0];
  const waitedFor = await called(libc.waitpid, pid, status, 0).catch(() => -1);
  if (waitedFor !== pid) return { code: null, signal: null };
  const signalNumber = status[0] & 0x7f;
  if (signalNumber === 0) return { code: (status[0] >> 8) & 0xff, signal: null };
  const signals = Object.entries(constants.signals) as [NodeJS.Signals, number][];
  return { code: null, signal: signals.find(([, number]) => number === signalNumber)?.[0] ?? null };
}

/** On a thread of libuv's pool. */
function called(native: Native, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    native.async(...args, (error: unknown, result: number) => (error ? reject(error as Error) : resolve(result)));
  });
}

function errorText(number: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? `error ${number}`;
}
