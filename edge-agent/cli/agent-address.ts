// Reaching the agent that runs on this device: over its unix socket where one is set, else over HTTP.
import { Agent, request } from 'undici';
import type { Settings } from '../config/settings-table.js';

/** Settings that say where the agent is. */
export const ADDRESS_SETTINGS = ['host', 'httpPort', 'unixSocket', 'apiToken'] as const;

const ANSWER_WITHIN_MS = 5000;

class AgentUnreachableError extends Error {
  override readonly name = 'AgentUnreachableError';
}

type Method = 'GET' | 'POST';
type Address = Pick<Settings, (typeof ADDRESS_SETTINGS)[number]>;

/** Asks the running agent for JSON. Rejects with AgentUnreachableError, or an Error with what the agent refused. */
export async function askAgent(settings: Address, path: string, method: Method = 'GET'): Promise<unknown> {
  const text = await askAgentText(settings, path, method);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AgentUnreachableError(`what answers on port ${settings.httpPort} is no agent`, { cause });
  }
}

/** As askAgent, of what is no JSON: metrics. */
export async function askAgentText(settings: Address, path: string, method: Method = 'GET'): Promise<string> {
  const { host, httpPort, unixSocket, apiToken } = settings;
  const where = unixSocket ?? `${host.includes(':') ? `[${host}]` : host}:${httpPort}`;
  const dispatcher = new Agent(unixSocket === undefined ? {} : { connect: { socketPath: unixSocket } });
  let status: number;
  let body: string;
  try {
    const answer = await request(unixSocket === undefined ? `http://${where}${path}` : `http://localhost${path}`, {
      dispatcher,
      method,
      headers: apiToken === undefined ? {} : { authorization: `Bearer ${apiToken}` },
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    status = answer.statusCode;
    body = await answer.body.text();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentUnreachableError(`no agent answers at ${where}: ${reason}`, { cause });
  } finally {
    await dispatcher.close();
  }
  if (status !== 200) throw new Error(`the agent at ${where} answered ${status}: ${body}`);
  return body;
}
