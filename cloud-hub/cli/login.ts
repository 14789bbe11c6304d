// `tidegate login`: checks a token with the hub and stores both. The token comes by flag, environment, or one line on stdin, so that
// it need not stand in the shell's history.
import { createInterface } from 'node:readline/promises';
import { SCOPES } from '@tidegate/shared/wire/admin-api.js';
import { Command } from 'commander';
import { z } from 'zod';
import { wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { hubUrl, storeCredentials } from './credentials.js';
import { HubClient } from './hub-client.js';

const meSchema = z.object({ actor: z.string(), scopes: z.array(z.enum(SCOPES)) });

export function loginCommand(context: CliContext): Command {
  return new Command('login')
    .description('check a token with the hub and remember both')
    .requiredOption('--hub <URL>', 'address of the hub, e.g. http://127.0.0.1:9000')
    .option('--token <TOKEN>', 'bearer token; default: TIDEGATE_TOKEN, or one line on stdin')
    .addHelpText('after', '\nExample:\n  tidegate login --hub http://127.0.0.1:9000 < token.txt')
    .action(async (options: { hub: string; token?: string }) => {
      const hub = hubUrl(options.hub);
      const token = options.token ?? context.environment['TIDEGATE_TOKEN'] ?? (await tokenOfStdin(context));
      const me = await new HubClient({ hub, token }).get('/api/v1/me', meSchema);
      const path = await storeCredentials(context.environment, { hub, token });
      context.stdout.write(`logged in to ${hub} as ${me.actor} (${me.scopes.join(', ')}); stored in ${path}\n`);
    });
}

async function tokenOfStdin(context: CliContext): Promise<string> {
  if ((context.stdin as { isTTY?: boolean }).isTTY === true) context.stderr.write('token: ');
  const lines = createInterface({ input: context.stdin, terminal: false });
  try {
    for await (const line of lines) if (line.trim() !== '') return line.trim();
  } finally {
    lines.close();
  }
  throw wrongUsage('no token was given: --token, TIDEGATE_TOKEN, or one line on stdin');
}
