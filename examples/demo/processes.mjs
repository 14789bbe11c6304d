// Starts Tidegate's programs as a user would, reads their ready lines, and ends what it started.
import { execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BINARIES = {
  'tidegate-hub': 'cloud-hub/bin/tidegate-hub.js',
  tidegate: 'cloud-hub/bin/tidegate.js',
  'tidegate-agent': 'edge-agent/bin/tidegate-agent.js',
};
const READY_WITHIN_MS = 30_000;

const running = new Set();

/** Runs a command to its end and returns what it printed; throws with its stderr where it fails. */
export function run(program, args, { env = {}, timeoutMs = 120_000 } = {}) {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [join(ROOT, BINARIES[program]), ...args],
      { env: { ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error)
          reject(new Error(`${program} ${args.join(' ')}: ${stderr.trim() || stdout.trim() || error.message}`));
        else resolve(stdout);
      },
    );
  });
}

/** Starts a server and waits for its ready line. `addresses` are by name: http, device, mqtt. */
export async function start(program, args, { logFile, env = {} }) {
  const child = spawn(process.execPath, [join(ROOT, BINARIES[program]), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)));
  void exited.then(() => running.delete(child));
  const log = createWriteStream(logFile, { flags: 'a' });
  child.stderr.pipe(log);
  const ready = await readyLine(child, exited, program, logFile);
  const addresses = Object.fromEntries(
    ready
      .split(' ')
      .slice(1)
      .map((pair) => pair.split('=')),
  );
  return { program, pid: child.pid, addresses, exited, kill: (signal = 'SIGTERM') => child.kill(signal) };
}

function readyLine(child, exited, program, logFile) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${program} was not ready in ${READY_WITHIN_MS} ms, see ${logFile}`)),
      READY_WITHIN_MS,
    );
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.startsWith('ready ')) return;
      clearTimeout(timer);
      resolve(line);
    });
    void exited.then((how) => {
      clearTimeout(timer);
      reject(new Error(`${program} ended (${how}) before it was ready, see ${logFile}`));
    });
  });
}

/** Ends a server gently, after 10 s for good. */
export async function stop(server) {
  server.kill('SIGTERM');
  const timer = setTimeout(() => server.kill('SIGKILL'), 10_000);
  await server.exited;
  clearTimeout(timer);
}

/** For the end of the demo, whatever happened. */
export function killAll() {
  for (const child of running) child.kill('SIGKILL');
}
