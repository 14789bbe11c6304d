// Which hub, and with which token: TIDEGATE_HUB and TIDEGATE_TOKEN, or what `tidegate login` stored in
// $TIDEGATE_CONFIG_DIR/hub.json (default ~/.config/tidegate), readable by its owner only.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { z } from 'zod';
import { CliError, wrongUsage } from './cli-error.js';

const credentialsSchema = z.object({ hub: z.url(), token: z.string().min(1) });
export type Credentials = z.infer<typeof credentialsSchema>;

type Environment = Readonly<Record<string, string | undefined>>;

function credentialsPath(environment: Environment): string {
  return join(environment['TIDEGATE_CONFIG_DIR'] ?? join(homedir(), '.config', 'tidegate'), 'hub.json');
}

/** Throws CliError where neither says it. */
export async function readCredentials(environment: Environment): Promise<Credentials> {
  const stored = await readStored(credentialsPath(environment));
  const hub = environment['TIDEGATE_HUB'] ?? stored?.hub;
  // A stored token belongs to the stored hub; it is not sent to another.
  const token = environment['TIDEGATE_TOKEN'] ?? (hub === stored?.hub ? stored?.token : undefined);
  if (hub === undefined || token === undefined) {
    throw new CliError('not logged in; run: tidegate login --hub URL (or set TIDEGATE_HUB and TIDEGATE_TOKEN)');
  }
  return { hub: hubUrl(hub), token };
}

export async function storeCredentials(environment: Environment, credentials: Credentials): Promise<string> {
  const path = credentialsPath(environment);
  await systemFiles.writeAtomic('cli.login', path, `${JSON.stringify(credentials, undefined, 2)}\n`, 0o600);
  return path;
}

/** `http://HOST:PORT` without a path. Throws CliError. */
export function hubUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw wrongUsage(`the hub's address ${JSON.stringify(text)} must look like http://127.0.0.1:9000`);
  }
  return url.origin;
}

async function readStored(path: string): Promise<Credentials | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cause;
  }
  try {
    return credentialsSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new CliError(`${path} is damaged; run: tidegate login`, { cause });
  }
}
