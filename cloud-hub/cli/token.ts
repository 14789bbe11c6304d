// `tidegate token`: bearer tokens of people and programs. A new one is shown once, on stdout.
import { SCOPES, pageOf } from '@tidegate/shared/wire/admin-api.js';
import { Command } from 'commander';
import { z } from 'zod';
import { wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { seconds } from './durations.js';
import { jsonText, tableText } from './output.js';

const tokenInfoSchema = z.object({
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.string()),
  createdAt: z.string(),
  expiresAt: z.string().optional(),
  revokedAt: z.string().optional(),
});

export function tokenCommand(context: CliContext): Command {
  const create = new Command('create')
    .description('make a token; shown once')
    .argument('<NAME>', 'who or what it is for')
    .requiredOption('--scopes <LIST>', `comma separated: ${SCOPES.join(', ')}`)
    .option('--expires <TIME>', 'how long it is valid: 12h, 30d; default: until revoked')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate token create ci --scopes publish,read --expires 30d')
    .action(async (name: string, options: { scopes: string; expires?: string; json?: true }) => {
      const scopes = z
        .array(z.enum(SCOPES))
        .min(1)
        .safeParse(options.scopes.split(',').map((part) => part.trim()));
      if (!scopes.success)
        throw wrongUsage(`--scopes: ${JSON.stringify(options.scopes)}; allowed: ${SCOPES.join(', ')}`);
      const expiry =
        options.expires === undefined ? {} : { expiresInSeconds: Math.round(seconds(options.expires, '--expires')) };
      const body = { name, scopes: scopes.data, ...expiry };
      const created = await (
        await context.client()
      ).post('/api/v1/tokens', body, tokenInfoSchema.extend({ token: z.string() }));
      context.stdout.write(options.json === true ? jsonText(created) : `${created.token}\n`);
    });
  const list = new Command('list')
    .description('all tokens, without their secrets')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate token list')
    .action(async (options: { json?: true }) => {
      const tokens = await (await context.client()).list('/api/v1/tokens?limit=500', pageOf(tokenInfoSchema));
      const rows = tokens.map((t) => [
        t.id,
        t.name,
        t.scopes.join(','),
        t.createdAt,
        t.expiresAt ?? 'never',
        t.revokedAt,
      ]);
      const head = ['TOKEN', 'NAME', 'SCOPES', 'CREATED', 'EXPIRES', 'REVOKED'];
      context.stdout.write(options.json === true ? jsonText(tokens) : tableText(head, rows));
    });
  const revoke = new Command('revoke')
    .description('end a token')
    .argument('<TOKEN>', 'its id (not the secret)')
    .addHelpText('after', '\nExample:\n  tidegate token revoke 9ae0eb55a27ef9b3')
    .action(async (id: string) => {
      await (await context.client()).delete(`/api/v1/tokens/${encodeURIComponent(id)}`);
      context.stdout.write(`revoked ${id}\n`);
    });
  return new Command('token').description('bearer tokens').addCommand(create).addCommand(list).addCommand(revoke);
}
