// A real `tidegate-hub` process for end-to-end tests, on free ports, and the operator's command line for it.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const binary = (name: string): string => fileURLToPath(new URL(`../../cloud-hub/bin/${name}.js`, import.meta.url));
const READY_WITHIN_MS = 60_000;

export interface HubProcess {
  readonly child: ChildProcess;
  readonly url: string;
  readonly token: string;
  /** By name: http, grpc, device, mqtt. */
  readonly ports: Readonly<Record<string, number>>;
  stderr(): string;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
  /** Starts again on the same folder and ports, with `more` flags. */
  again(more?: readonly string[]): Promise<HubProcess>;
}

function exec(
  file: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...environment };
    execFile(process.execPath, [file, ...args], { env, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${args.join(' ')}: ${stderr || error.message}`, { cause: error }));
      else resolve(stdout);
    });
  });
}

const FREE_PORTS = ['--http-port', '0', '--grpc-port', '0', '--device-port', '0', '--mqtt-port', '0'];

/** Makes the data folder and starts a hub on it. */
export async function startHubProcess(dataDir: string, flags: readonly string[] = []): Promise<HubProcess> {
  const token = (await exec(binary('tidegate-hub'), ['init', '--data-dir', dataDir])).trim();
  return serve(dataDir, token, [...FREE_PORTS, ...flags]);
}

async function serve(dataDir: string, token: string, flags: readonly string[]): Promise<HubProcess> {
  const args = ['serve', '--data-dir', dataDir, '--log-format', 'json', ...flags];
  const child = spawn(process.execPath, [binary('tidegate-hub'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const line = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the hub was not ready: ${stderr}`)), READY_WITHIN_MS);
    createInterface({ input: child.stdout }).on('line', (text) => {
      if (text.startsWith('ready ')) resolve(text);
    });
    void ended.then(() => reject(new Error(`the hub ended: ${stderr}`))).finally(() => clearTimeout(timer));
  });
  const addresses = Object.fromEntries(
    line
      .split(' ')
      .slice(1)
      .map((pair) => pair.split('=') as [string, string]),
  );
  const ports = Object.fromEntries(
    Object.entries(addresses).map(([name, address]) => [name, Number(address.split(':').at(-1))]),
  );
  const samePorts = Object.entries(ports).flatMap(([name, port]) => [`--${name}-port`, String(port)]);
  const others = flags.filter((_, i) => !flags[i - (i % 2)]?.endsWith('-port'));
  return {
    child,
    url: `http://${addresses['http']}`,
    token,
    ports,
    stderr: () => stderr,
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await ended;
      return code;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await ended;
    },
    again: (more = []) => serve(dataDir, token, [...samePorts, ...others, ...more]),
  };
}

/** The operator's command line against this hub; what it printed. */
export function runTidegate(hub: Pick<HubProcess, 'url' | 'token'>, args: readonly string[]): Promise<string> {
  return exec(binary('tidegate'), args, { TIDEGATE_HUB: hub.url, TIDEGATE_TOKEN: hub.token });
}
