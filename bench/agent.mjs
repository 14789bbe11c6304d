// A `tidegate-agent serve` process on free ports of the loopback interface.
import { fileURLToPath } from 'node:url';
import { startScript } from './processes.mjs';

const AGENT = fileURLToPath(new URL('../edge-agent/bin/tidegate-agent.js', import.meta.url));

/** One thread, one run at a time: what its yardsticks have too. */
export const ONE_RUN = ['--threads', '1', '--concurrency', '1'];

/** Serves `models` (paths); resolves when it is ready. `flags` come last. */
export async function startAgent(models, flags = []) {
  const fixed = ['--http-port', '0', '--grpc-port', 'off', '--log-level', 'error'];
  const agent = await startScript(AGENT, ['serve', ...models, ...fixed, ...flags]);
  const [, host, port] = /http=(.+):(\d+)/.exec(agent.ready);
  return { ...agent, host, port, url: `http://${host}:${port}` };
}
