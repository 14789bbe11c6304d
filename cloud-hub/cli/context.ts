// What every verb of the command line gets: where to write, and the hub that the operator is logged in to, asked for when it is needed.
import { readCredentials } from './credentials.js';
import { HubClient } from './hub-client.js';
import type { Streams } from './output.js';

export interface CliContext extends Streams {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdin: NodeJS.ReadableStream;
  /** Throws CliError where nobody is logged in. */
  client(): Promise<HubClient>;
}

export function makeContext(
  streams: Streams & { readonly stdin: NodeJS.ReadableStream },
  environment: Readonly<Record<string, string | undefined>>,
): CliContext {
  const { stdin, stdout, stderr } = streams;
  return { stdin, stdout, stderr, environment, client: async () => new HubClient(await readCredentials(environment)) };
}
