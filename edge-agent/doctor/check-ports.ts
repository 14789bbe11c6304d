// Does the agent answer, or could it? A port that is taken is told with who took it.
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Settings } from '../config/settings-table.js';
import { fail, fine, messageOf, type Verdict } from './finding.js';
import { portOwner } from './port-owner.js';

/** What the running agent says of itself, or why it doesn't. */
export type AgentAnswer =
  | { readonly answers: true; readonly state: string; readonly version: string }
  | { readonly answers: false; readonly reason: string };

export async function checkPort(
  agent: AgentAnswer,
  { host, httpPort }: Pick<Settings, 'host' | 'httpPort'>,
): Promise<Verdict> {
  if (agent.answers) return fine(`an agent answers: ${agent.state}, version ${agent.version}`);
  try {
    await listenOnce(host, httpPort);
    return fine(`no agent answers yet, and ${host}:${httpPort} is free`);
  } catch (error) {
    const owner = await portOwner(httpPort);
    const by = owner === undefined ? '' : `, taken by process ${owner}`;
    return fail(
      `can't listen on ${host}:${httpPort}${by}: ${messageOf(error)}; asked there: ${agent.reason}`,
      `end that program, or set --http-port to another port${owner === undefined ? ` (who: ss -ltnp 'sport = :${httpPort}')` : ''}`,
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
