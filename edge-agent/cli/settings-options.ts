// The settings table as options of a command, and back from a command to settings (flag > environment > file).
import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { flagName, SettingsError, variableName } from '@tidegate/shared/system/settings.js';
import { readAgentSettings } from '../config/read-settings.js';
import { SETTINGS, type SettingName, type Settings } from '../config/settings-table.js';
import type { CliContext } from './verb.js';

/** Adds `--config` and a flag for each of `names`. */
export function addSettingsOptions(command: Command, names: readonly SettingName[]): Command {
  command.option('--config <FILE>', 'YAML file with settings, the same names as the flags (variable TIDEGATE_CONFIG)');
  for (const name of names) {
    const { placeholder, fallback, description } = SETTINGS[name];
    const shown = fallback === undefined ? '' : ` (default ${fallback})`;
    command.addOption(
      new Option(`--${flagName(name)} <${placeholder}>`, `${description}${shown} [${variableName(name)}]`),
    );
  }
  return command;
}

/** Throws SettingsError. */
export function settingsOf(command: Command, names: readonly SettingName[], context: CliContext): Settings {
  const options = command.opts<Record<string, string | undefined>>();
  const flags: Partial<Record<SettingName, string>> = {};
  for (const name of names) {
    const value = options[name];
    if (value !== undefined) flags[name] = value;
  }
  const path = options['config'] ?? context.environment['TIDEGATE_CONFIG'];
  return readAgentSettings({
    flags,
    environment: context.environment,
    ...(path === undefined ? {} : { file: { path, text: readConfigFile(path) } }),
  });
}

function readConfigFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SettingsError('config', `--config ${path} can't be read: ${reason}`, { cause });
  }
}
