// `tidegate-agent service install|uninstall`: the agent as a systemd service. The flags given are those that the service runs
// with; secrets go into an environment file that only root reads. `--print` shows the unit and changes nothing.
import { execFile } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { bytesText, flagName } from '@tidegate/shared/system/settings.js';
import { SETTING_NAMES, SETTINGS, type SettingName, type Settings } from '../config/settings-table.js';
import { installUnit, uninstallUnit } from '../service/install-unit.js';
import { ENVIRONMENT_FILE, systemdUnit, UnitError } from '../service/systemd-unit.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import { UsageError, type CliContext, type Verb } from './verb.js';

const UNIT_FOLDER = '/etc/systemd/system';
const DATA_DIR = '/var/lib/tidegate';
const SYSTEM_USER = /^[a-z_][a-z0-9_-]{0,31}$/;
/** What `run` takes, of which no secret may stand in a unit that everybody reads. */
const SERVICE_SETTINGS = SETTING_NAMES.filter(
  (name): name is SettingName => name !== 'hub' && name !== 'hubToken' && !('secret' in SETTINGS[name]),
);

const EXAMPLE = `
Secrets (TIDEGATE_API_TOKEN) go into ${ENVIRONMENT_FILE}, one NAME=value a line, mode 0600.

Example:
  sudo tidegate-agent enroll --token TOKEN --data-dir ${DATA_DIR}
  sudo tidegate-agent service install --memory-max 1GiB
  tidegate-agent service install --print`;

export const serviceVerb: Verb = (program, context) => {
  const service = program
    .command('service')
    .description('Run the agent as a systemd service')
    .addHelpText('after', EXAMPLE);
  const install = service
    .command('install')
    .description('Write the unit, enable and start it (root)')
    .option('--print', 'show the unit, and change nothing')
    .option('--service-user <NAME>', 'user that exists; without it systemd makes one for the service')
    .option('--memory-max <BYTES>', 'most memory of the agent and its executors (MemoryMax)')
    .addHelpText('after', EXAMPLE);
  addSettingsOptions(install, SERVICE_SETTINGS).action(async (options: InstallFlags, self: Command) => {
    const unit = unitOf(options, self, context);
    if (options.print === true) context.stdout.write(unit);
    else await asRoot(context, (modules) => installUnit(unit, modules));
  });
  service
    .command('uninstall')
    .description('Stop the service and remove its unit; the data stays (root)')
    .addHelpText('after', '\nExample:\n  sudo tidegate-agent service uninstall')
    .action(() => asRoot(context, uninstallUnit));
};

/** Not this shell's. That the token is really in the file, the agent checks at its start. */
const ENVIRONMENT_OF_SERVICE = { TIDEGATE_API_TOKEN: `in ${ENVIRONMENT_FILE}` };

interface InstallFlags {
  readonly print?: boolean;
  readonly serviceUser?: string;
  readonly memoryMax?: string;
}

function unitOf(options: InstallFlags, command: Command, context: CliContext): string {
  const { serviceUser: user, memoryMax } = options;
  const settings = settingsOf(command, SERVICE_SETTINGS, { ...context, environment: ENVIRONMENT_OF_SERVICE });
  const given = command.opts<Record<string, string | undefined>>();
  const isSet = given['dataDir'] !== undefined || settings.dataDir !== SETTINGS.dataDir.fallback;
  const dataDir = isSet ? settings.dataDir : DATA_DIR; // a service has no home folder
  const args = SERVICE_SETTINGS.filter((name) => name !== 'dataDir').flatMap((name) => {
    const value = given[name];
    return value === undefined ? [] : [`--${flagName(name)}`, value];
  });
  if (given['config'] !== undefined) args.push('--config', realpathSync(given['config']));
  if (user !== undefined && !SYSTEM_USER.test(user)) throw new UsageError(`--service-user ${user}: no name of a user`);
  try {
    return systemdUnit({
      ...{ node: process.execPath, script: realpathSync(process.argv[1] ?? ''), user, dataDir },
      args: ['--data-dir', dataDir, ...args],
      memoryMaxBytes: memoryMax === undefined ? undefined : bytesOf(memoryMax),
      drainTimeoutMs: settings.drainTimeout,
      needsGpu: settings.providers.some((provider) => provider !== 'cpu'),
      lowestPort: lowestPort(settings),
      unixSocket: settings.unixSocket,
    });
  } catch (error) {
    throw error instanceof UnitError ? new UsageError(error.message) : error;
  }
}

function lowestPort(settings: Settings): number {
  const ports = Object.entries(settings).flatMap(([name, value]) =>
    name.endsWith('Port') && typeof value === 'number' && value > 0 ? [value] : [],
  );
  return Math.min(...ports, 65_535);
}

function bytesOf(text: string): number {
  const parsed = bytesText.safeParse(text);
  if (parsed.success && parsed.data > 0) return parsed.data;
  throw new UsageError(`--memory-max ${text}: allowed is a size such as 512MiB`);
}

async function asRoot(
  context: CliContext,
  act: (modules: Parameters<typeof uninstallUnit>[0]) => Promise<void>,
): Promise<void> {
  if (process.platform !== 'linux') throw new Error('services are made for systemd, which this system has not');
  if (process.getuid?.() !== 0) throw new Error('this needs root: run it with sudo, or look first with --print');
  const run = promisify(execFile);
  await act({
    files: systemFiles,
    systemctl: async (...words) => {
      await run('systemctl', words);
    },
    say: (line) => context.stdout.write(`${line}\n`),
    folder: UNIT_FOLDER,
  });
}
