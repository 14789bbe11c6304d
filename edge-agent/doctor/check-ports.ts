// Does the agent answer, or could it? A port that is taken is told with who took it.
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Settings } from '../config/settings-table.js';
import { fail, fine, messageOf, warn, type Verdict } from './finding.js';
import { portOwner } from './port-owner.js';

/** What the running agent says of itself, or why it doesn't. */
export type AgentAnswer =
  | {
      readonly answers: true;
      readonly state: string;
      readonly version: string;
      /** Models that it knows and does not serve, and why. */
      readonly unloaded: readonly { readonly name: string; readonly reason: string }[];
    }
  | { readonly answers: false; readonly reason: string };

export async function checkHttpPort(
  agent: AgentAnswer,
  { host, httpPort }: Pick<Settings, 'host' | 'httpPort'>,
): Promise<Verdict> {
  if (agent.answers) return fine(`an agent answers: ${agent.state}, version ${agent.version}`);
  const verdict = await freeOrTaken(host, httpPort, '--http-port');
  const asked = verdict.level === 'ok' ? 'no agent answers yet' : agent.reason;
  return { ...verdict, found: `${asked}; ${verdict.found}` };
}

/** Undefined where no agent answers: nothing is known of its models then. */
export function judgeServed(agent: AgentAnswer): Verdict | undefined {
  if (!agent.answers) return undefined;
  const missing = agent.unloaded.map(({ name, reason }) => `'${name}' is not loaded (${reason})`);
  if (missing.length === 0) return fine('all models of the agent are in service');
  return warn(missing.join('; '), 'set a larger --memory-budget, or serve fewer models or smaller variants of them');
}

export async function checkGrpcPort(
  agent: AgentAnswer,
  { host, grpcPort }: Pick<Settings, 'host' | 'grpcPort'>,
): Promise<Verdict> {
  if (typeof grpcPort !== 'number') return fine('off');
  const verdict = await freeOrTaken(host, grpcPort, '--grpc-port');
  if (!agent.answers) return verdict;
  return verdict.level === 'ok'
    ? fine(`${verdict.found}: the agent that answers serves no gRPC there`)
    : fine(`${host}:${grpcPort} is in use, as it is while an agent runs`);
}

async function freeOrTaken(host: string, port: number, flag: string): Promise<Verdict> {
  try {
    await listenOnce(host, port);
    return fine(`${host}:${port} is free`);
  } catch (error) {
    const owner = await portOwner(port);
    const by = owner === undefined ? '' : `, taken by process ${owner}`;
    const who = owner === undefined ? ` (who: ss -ltnp 'sport = :${port}')` : '';
    return fail(
      `can't listen on ${host}:${port}${by}: ${messageOf(error)}`,
      `end that program${who}, or set ${flag} to another port`,
    );
  }
}

function listenOnce(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port }, () => server.close(() => resolve()));
  });
}

export async function checkUnixSocket(path: string | undefined): Promise<Verdict> {
  if (path === undefined) return fine('none set');
  const folder = await stat(dirname(path)).catch(() => undefined);
  if (folder?.isDirectory() !== true) return fail(`${dirname(path)} is no folder`, `mkdir -p ${dirname(path)}`);
  return fine(path);
}
