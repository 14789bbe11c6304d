// `tidegate-hub`: the hub's own program. Reads flags and settings, starts what hub.ts composes, prints the ready line, drains on
// SIGTERM. Exit codes: 0 done, 1 failed, 2 wrong usage.
import { readFileSync } from 'node:fs';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { SettingsError, flagName, readSettings, variableName } from '@tidegate/shared/system/settings.js';
import { Command, CommanderError, Option } from 'commander';
import { DataFolderError } from './config/data-folder.js';
import { openLog } from '@tidegate/shared/system/open-log.js';
import { tuneForServing } from '@tidegate/shared/system/v8-flags.js';
import { FOREIGN_VARIABLES, HUB_SETTINGS, type HubSettings } from './config/settings-table.js';
import { startHub } from './hub.js';
import { HUB_VERSION } from './hub-version.js';
import { initHub } from './init-hub.js';

type SettingName = keyof typeof HUB_SETTINGS;
type Flags = Readonly<Record<string, string | undefined>>;

const SERVE_SETTINGS = Object.keys(HUB_SETTINGS) as SettingName[];
const INIT_SETTINGS: readonly SettingName[] = ['dataDir'];

function settingsFrom(flags: Flags): HubSettings {
  const configPath = flags['config'] ?? process.env['TIDEGATE_CONFIG'];
  const file = configPath === undefined ? undefined : { path: configPath, text: readConfig(configPath) };
  return readSettings(HUB_SETTINGS, {
    flags: Object.fromEntries(Object.entries(flags).filter(([name]) => name in HUB_SETTINGS)),
    environment: process.env,
    foreignVariables: FOREIGN_VARIABLES,
    ...(file === undefined ? {} : { file }),
  });
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new SettingsError('config', `--config ${path} can't be read: ${messageOf(cause)}`, { cause });
  }
}

function withSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) {
    const { placeholder, description, fallback } = HUB_SETTINGS[name];
    const shown = fallback === undefined ? '' : ` (default ${fallback})`;
    command.addOption(
      new Option(`--${flagName(name)} <${placeholder}>`, `${description}${shown}`).env(variableName(name)),
    );
  }
  return command.option('--config <FILE>', 'settings as YAML, with the names of the flags as keys');
}

/** The options as given on the command line; those of the environment are readSettings' to take. */
function givenFlags(command: Command): Flags {
  const given = Object.entries(command.opts<Flags>()).filter(([name]) => command.getOptionValueSource(name) === 'cli');
  return Object.fromEntries(given);
}

async function init(_options: unknown, command: Command): Promise<void> {
  const { dataDir } = settingsFrom(givenFlags(command));
  const { token } = await initHub(dataDir, systemClock, systemFiles);
  if (command.opts()['json'] === true) process.stdout.write(`${JSON.stringify({ dataDir, token })}\n`);
  else {
    process.stderr.write(`Made the hub's data folder ${dataDir}.\nThe first admin token, shown only now:\n`);
    process.stdout.write(`${token}\n`);
    process.stderr.write(`Next: tidegate-hub serve --data-dir ${dataDir}\n`);
  }
}

async function serve(_options: unknown, command: Command): Promise<void> {
  const settings = settingsFrom(givenFlags(command));
  tuneForServing();
  const log = openLog(settings, process.stderr);
  const hub = await startHub(settings, { clock: systemClock, files: systemFiles, log });
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) process.exit(1); // a second one doesn't wait
    stopping = true;
    log.info({ signal }, 'draining');
    hub.drain().then(
      () => process.exit(0),
      (cause: unknown) => {
        log.error({ err: cause }, 'the hub could not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.stdout.write(`ready ${hub.readyLine}\n`);
}

function program(): Command {
  const root = new Command('tidegate-hub')
    .description('The Tidegate hub: registry, optimizer, rollouts, heavy inference, admin API, console.')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  withSettings(root.command('init'), INIT_SETTINGS)
    .description('make the data folder, the keys and the first admin token (shown once, on stdout)')
    .option('--json', 'print {dataDir, token}')
    .addHelpText('after', '\nExample:\n  tidegate-hub init --data-dir ./hub')
    .action(init);
  withSettings(root.command('serve'), SERVE_SETTINGS)
    .description('serve until SIGTERM; prints a line that begins with "ready" when it answers')
    .addHelpText('after', '\nExample:\n  tidegate-hub serve --data-dir ./hub --http-port 9000')
    .action(serve);
  root
    .command('version')
    .description('print the version')
    .addHelpText('after', '\nExample:\n  tidegate-hub version')
    .action(() => void process.stdout.write(`${HUB_VERSION}\n`));
  return root;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

try {
  await program().parseAsync();
} catch (cause) {
  if (cause instanceof CommanderError) process.exitCode = cause.exitCode === 0 ? 0 : 2;
  else {
    process.stderr.write(`tidegate-hub: ${messageOf(cause)}\n`);
    const expected = cause instanceof DataFolderError || cause instanceof SettingsError;
    if (!expected && cause instanceof Error && process.env['NODE_DEBUG'] !== undefined)
      process.stderr.write(`${cause.stack}\n`);
    process.exit(cause instanceof SettingsError ? 2 : 1);
  }
}
