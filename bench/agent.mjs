// A `tidegate-agent serve` process on free ports of the loopback interface.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startScript } from './processes.mjs';

const HERE = fileURLToPath(new URL('..', import.meta.url));

/** One thread, one run at a time: what its yardsticks have too. */
export const ONE_RUN = ['--threads', '1', '--concurrency', '1'];

/** Serves `models` (paths); resolves when it is ready. `flags` come last. `checkout`: whose build. */
export async function startAgent(models, flags = [], checkout = HERE) {
  const fixed = ['--http-port', '0', '--grpc-port', 'off', '--log-level', 'error'];
  const agent = await startScript(join(checkout, 'edge-agent/bin/tidegate-agent.js'), [
    'serve',
    ...models,
    ...fixed,
    ...flags,
  ]);
  const [, host, port] = /http=(.+):(\d+)/.exec(agent.ready);
  return { ...agent, host, port, url: `http://${host}:${port}` };
}
