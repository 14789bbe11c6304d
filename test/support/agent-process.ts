// A real `tidegate-agent` process for end-to-end tests: started, asked over HTTP, killed at the end whatever happened.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createInferClient, type InferClient } from '@tidegate/shared/serving/http/infer-client.js';
import type { InferAnswer, InferRequest } from '@tidegate/shared/serving/inference-service.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import type { NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const BINARY = fileURLToPath(new URL('../../edge-agent/bin/tidegate-agent.js', import.meta.url));
const READY_WITHIN_MS = 60_000;

export const examplesFolder = fileURLToPath(new URL('../../examples/', import.meta.url));

export interface AgentProcessOptions {
  readonly environment?: Readonly<Record<string, string>>;
}

export interface AgentModelStatus {
  readonly name: string;
  readonly version: string;
  readonly verified: boolean;
  readonly graphs: readonly { readonly pid?: number; readonly counts: Readonly<Record<string, number>> }[];
  readonly counts: Readonly<Record<string, number>>;
}

export interface AgentStatus {
  readonly state: string;
  readonly models: readonly AgentModelStatus[];
  readonly hub: { readonly phase: string; readonly counts: Readonly<Record<string, number>> } | null;
  readonly cache: {
    readonly joined: number;
    readonly layers: Readonly<Record<string, Readonly<Record<string, number>>>>;
  };
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line to its end. */
export async function runAgent(args: readonly string[], options: AgentProcessOptions = {}): Promise<Finished> {
  const agent = new AgentProcess(args, options);
  return agent.finished;
}

/** Starts an agent on free ports and waits for its ready line. */
export async function startAgent(args: readonly string[], options: AgentProcessOptions = {}): Promise<AgentProcess> {
  const agent = new AgentProcess([...args, '--http-port', '0', '--grpc-port', '0', '--log-format', 'json'], options);
  await agent.ready();
  return agent;
}

export class AgentProcess {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  url = '';
  /** `127.0.0.1:8001`; empty where gRPC is off. */
  grpcAddress = '';
  stderr = '';
  #stdout = '';
  #client: InferClient | undefined;
  readonly #ready: Promise<void>;

  constructor(args: readonly string[], { environment = {} }: AgentProcessOptions) {
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TIDEGATE_')));
    this.child = spawn(process.execPath, [BINARY, ...args], {
      env: { ...clean, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.#ready = new Promise((resolve) => {
      if (this.child.stdout === null) return;
      createInterface(this.child.stdout).on('line', (line) => {
        this.#stdout += `${line}\n`;
        const address = /^ready http=(\S+)/.exec(line)?.[1];
        if (address === undefined) return;
        this.url = `http://${address}`;
        this.grpcAddress = / grpc=(\S+)/.exec(line)?.[1] ?? '';
        resolve();
      });
    });
    this.finished = once(this.child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
      stdout: this.#stdout,
      stderr: this.stderr,
    }));
  }

  async ready(): Promise<void> {
    const outcome = await Promise.race([
      this.#ready.then(() => 'ready' as const),
      this.finished.then(() => 'ended' as const),
      new Promise<'late'>((resolve) => setTimeout(resolve, READY_WITHIN_MS, 'late').unref()),
    ]);
    if (outcome !== 'ready') throw new Error(`the agent is not ready (${outcome}): ${this.stderr}`);
  }

  /** Asks over HTTP with binary tensors. Rejects with the ServingError that the agent answered. */
  infer(
    model: string,
    inputs: readonly NamedTensor[],
    part: Partial<InferRequest> & { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<InferAnswer> {
    this.#client ??= createInferClient({ url: this.url, clock: systemClock, answerBytesMax: 64 * 2 ** 20 });
    const { timeoutMs = 30_000, signal = new AbortController().signal, ...rest } = part;
    const request: InferRequest = {
      model,
      version: undefined,
      id: undefined,
      inputs,
      outputs: [],
      deadlineMs: 0,
      priority: 0,
      placement: 'auto',
      cache: 'use',
      maxStalenessMs: undefined,
      parameters: {},
      ...rest,
    };
    return this.#client.infer(request, timeoutMs, signal);
  }

  async get<T>(path: string): Promise<T> {
    return (await (await fetch(`${this.url}${path}`)).json()) as T;
  }

  status(): Promise<AgentStatus> {
    return this.get('/agent/v1/status');
  }

  async model(name: string): Promise<AgentModelStatus> {
    const found = (await this.status()).models.find((model) => model.name === name);
    if (found === undefined) throw new Error(`the agent does not serve ${name}`);
    return found;
  }

  /** A sample of `/metrics` by its name and labels as they stand there. */
  async metric(sample: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${sample} `));
    return Number(line?.slice(sample.length + 1) ?? Number.NaN);
  }

  /** SIGTERM, and the end; SIGKILL for who doesn't end. */
  async stop(): Promise<Finished> {
    await this.#client?.close();
    this.child.kill('SIGTERM');
    const kill = setTimeout(() => this.child.kill('SIGKILL'), 20_000);
    try {
      return await this.finished;
    } finally {
      clearTimeout(kill);
    }
  }
}
