// Child processes that the benchmark talks to by lines: loops, load generators, servers.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const READY_LIMIT_MS = 60_000;
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
      child.stdin.end();
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** Ends what is left, also after an error. */
export function stopAll() {
  for (const child of started) child.kill('SIGKILL');
}

/** Of the kernel's accounting of processor time. */
const TICK_US = 10_000;

/** Processor time that a process and its children have used, in microseconds; undefined where there is no /proc. */
export function treeCpuUs(pid) {
  if (process.platform !== 'linux') return undefined;
  let ticks = 0;
  for (const name of readdirSync('/proc').filter((entry) => /^[0-9]+$/.test(entry))) {
    let fields;
    try {
      fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1).split(' ');
    } catch {
      continue; // it ended meanwhile
    }
    if (Number(name) === pid || Number(fields[1]) === pid) ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_US;
}
