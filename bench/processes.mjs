// Child processes that the benchmark talks to by lines: loops, load generators, servers.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const READY_LIMIT_MS = 60_000;
const READY_EVERY_MS = 100;
const STOP_LIMIT_MS = 10_000;
const started = new Set();

/** Starts a script of this folder, or an absolute path; resolves when it has said "ready ...". */
export async function startScript(script, args, env = {}) {
  const path = script.startsWith('/') ? script : new URL(script, import.meta.url).pathname;
  return startProgram(process.execPath, [path, ...args], env);
}

/** Starts a program that talks in the same way. */
export async function startProgram(command, args, env = {}) {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  started.add(child);
  let errors = '';
  child.stderr.on('data', (chunk) => (errors = (errors + chunk).slice(-4_000)));
  const ended = once(child, 'exit').then(() => {
    started.delete(child);
    return undefined;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const line = await Promise.race([lines.next().then(({ value }) => value), ended]);
    if (line === undefined) throw new Error(`${[command, ...args].join(' ')} ended: ${errors}`);
    return line;
  };
  const timer = setTimeout(() => child.kill('SIGKILL'), READY_LIMIT_MS);
  const ready = await next();
  clearTimeout(timer);
  return {
    pid: child.pid,
    ready,
    /** Writes a line and reads the JSON that answers it. */
    async ask(line) {
      child.stdin.write(`${line}\n`);
      const answer = JSON.parse(await next());
      if (answer.failure !== undefined) throw new Error(`${args[0]}: ${answer.failure}`);
      return answer;
    },
    async stop() {
      signalTree(child.pid, 'SIGCONT');
      child.stdin.end();
      child.kill('SIGTERM');
      const timer = setTimeout(() => signalTree(child.pid, 'SIGKILL'), STOP_LIMIT_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/**
 * Starts a server that tells nothing on stdout, and asks `readyUrl` until it answers 200. What it said last is in the error
 * where it ends before, or isn't ready in time.
 */
export async function startServer(command, args, { env = {}, cwd, readyUrl }) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, cwd });
  started.add(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => (said = (said + chunk).slice(-4_000)));
  const ended = once(child, 'exit').finally(() => started.delete(child));
  for (const untilMs = performance.now() + READY_LIMIT_MS; ;) {
    if (child.exitCode !== null || performance.now() > untilMs) {
      signalTree(child.pid, 'SIGKILL');
      throw new Error(`${command} ${child.exitCode === null ? 'was not ready in time' : 'ended'}: ${said}`);
    }
    const response = await fetch(readyUrl).catch(() => undefined);
    if (response?.ok) break;
    await delay(READY_EVERY_MS);
  }
  return {
    pid: child.pid,
    async stop() {
      const tree = [...treeOf(child.pid).keys()];
      signalTree(child.pid, 'SIGCONT');
      child.kill('SIGTERM');
      await Promise.race([ended, delay(STOP_LIMIT_MS)]);
      for (const pid of tree) sendSignal(pid, 'SIGKILL'); // also what it left behind
      await ended;
    },
  };
}

/** A port of the loopback interface that nobody listens on. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Ends what is left, also after an error, with the processes that servers started themselves. */
export function stopAll() {
  for (const { pid } of started) signalTree(pid, 'SIGKILL');
}

/** Sends a signal to a process and all that came from it: SIGSTOP for servers whose turn it is not, so that they take nothing. */
export function signalTree(pid, signal) {
  for (const one of treeOf(pid).keys()) sendSignal(one, signal);
}

function sendSignal(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // it ended meanwhile
  }
}

/** Of the kernel's accounting of processor time. */
const TICK_US = 10_000;

/** Processor time that a process and all that came from it have used, in microseconds; undefined where there is no /proc. */
export function treeCpuUs(pid) {
  if (process.platform !== 'linux') return undefined;
  let ticks = 0;
  for (const fields of treeOf(pid).values()) ticks += Number(fields[11]) + Number(fields[12]);
  return ticks * TICK_US;
}

/** Memory of a process and all that came from it, each page that several map counted once (PSS), in MiB; undefined where there is no /proc. */
export function treePssMb(pid) {
  if (process.platform !== 'linux') return undefined;
  let kilobytes = 0;
  for (const one of treeOf(pid).keys()) {
    const rollup = readIfThere(`/proc/${one}/smaps_rollup`);
    kilobytes += Number(/^Pss: +(\d+) kB/m.exec(rollup)?.[1] ?? 0);
  }
  return kilobytes / 1024;
}

/** Resident memory of one process, in MiB. */
export const residentMb = (pid) => Number(/^VmRSS:\s+(\d+) kB/m.exec(readIfThere(`/proc/${pid}/status`))?.[1]) / 1024;

/** Pid -> fields of /proc/PID/stat after the name; only the process itself where there is no /proc. */
function treeOf(root) {
  if (process.platform !== 'linux') return new Map([[root, []]]);
  const all = new Map();
  for (const name of readdirSync('/proc').filter((entry) => /^[0-9]+$/.test(entry))) {
    const fields = readIfThere(`/proc/${name}/stat`)?.split(') ').at(-1).split(' ');
    if (fields !== undefined) all.set(Number(name), fields);
  }
  const tree = new Map(all.has(root) ? [[root, all.get(root)]] : []);
  for (const parent of tree.keys()) {
    // what is added while this goes on is visited too
    for (const [pid, fields] of all) if (Number(fields[1]) === parent) tree.set(pid, fields);
  }
  return tree;
}

/** Pids of what a process has started, by whichever of its threads. */
export const childrenOf = (pid) => [...treeOf(pid)].flatMap(([one, fields]) => (Number(fields[1]) === pid ? one : []));

function readIfThere(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // the process ended meanwhile
  }
}
