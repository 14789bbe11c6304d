// From flags, environment and file to typed settings: pure. An unknown or wrong setting is an error that names the setting
// with the place it came from, the value and what is allowed, so that a start never goes on with a guess.
import { isIP } from 'node:net';
import { parse } from 'yaml';
import { SETTINGS, SETTING_NAMES, flagName, variableName, type SettingName, type Settings } from './settings-table.js';

export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly setting: string;
  constructor(setting: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.setting = setting;
  }
}

export interface SettingsSources {
  /** By setting name; only flags that were given. */
  readonly flags: Partial<Readonly<Record<SettingName, string>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Content of the `--config` file with its path for errors; YAML with the flags' names as keys. */
  readonly file?: { readonly path: string; readonly text: string };
}

/** Variables of the environment that begin with TIDEGATE_ and belong to the other programs or to none. */
const FOREIGN_VARIABLES: ReadonlySet<string> = new Set(['TIDEGATE_CONFIG', 'TIDEGATE_URL', 'TIDEGATE_TOKEN']);

/** Throws SettingsError. */
export function readSettings(sources: SettingsSources): Settings {
  const fromFile = sources.file === undefined ? {} : readFileValues(sources.file);
  refuseUnknownVariables(sources.environment);
  const values: Partial<Record<SettingName, unknown>> = {};
  for (const name of SETTING_NAMES) {
    const variable = variableName(name);
    const candidates: readonly [string | undefined, string][] = [
      [sources.flags[name], `--${flagName(name)}`],
      [sources.environment[variable], variable],
      [fromFile[name], `${flagName(name)} in ${sources.file?.path ?? 'the file'}`],
      [SETTINGS[name].fallback, `--${flagName(name)}`],
    ];
    const [text, source] = candidates.find(([candidate]) => candidate !== undefined) ?? [undefined, ''];
    values[name] = text === undefined ? undefined : parseSetting(name, text, source);
  }
  const settings = values as Settings;
  checkTogether(settings);
  return settings;
}

/** Is the host this machine itself, so that only who is on it can call? */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1' || host === '[::1]') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

function parseSetting(name: SettingName, text: string, source: string): unknown {
  const setting = SETTINGS[name];
  const parsed = setting.schema.safeParse(text);
  if (parsed.success) return parsed.data;
  const shown = 'secret' in setting ? '(hidden)' : JSON.stringify(text);
  throw new SettingsError(flagName(name), `${source}: ${shown} is not allowed; allowed: ${setting.allowed}`, {
    cause: parsed.error,
  });
}

function readFileValues(file: { readonly path: string; readonly text: string }): Partial<Record<SettingName, string>> {
  let document: unknown;
  try {
    document = parse(file.text, { stringKeys: true, maxAliasCount: 0 });
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    throw new SettingsError('config', `--config ${file.path} is not valid YAML: ${reason}`, { cause });
  }
  if (document === null || document === undefined) return {};
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new SettingsError('config', `--config ${file.path} must hold lines like "http-port: 8000"`);
  }
  const byFlag = new Map(SETTING_NAMES.map((name) => [flagName(name), name]));
  const values: Partial<Record<SettingName, string>> = {};
  for (const [key, value] of Object.entries(document)) {
    const name = byFlag.get(key);
    if (name === undefined) throw unknownSetting(key, `${key} in ${file.path}`, [...byFlag.keys()]);
    if (Array.isArray(value) && value.every((part) => typeof part === 'string')) values[name] = value.join(',');
    else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      values[name] = String(value);
    else throw new SettingsError(key, `${key} in ${file.path}: must be one value; allowed: ${SETTINGS[name].allowed}`);
  }
  return values;
}

function refuseUnknownVariables(environment: SettingsSources['environment']): void {
  const known = new Set(SETTING_NAMES.map(variableName));
  for (const [variable, value] of Object.entries(environment)) {
    if (value === undefined || !variable.startsWith('TIDEGATE_')) continue;
    if (!known.has(variable) && !FOREIGN_VARIABLES.has(variable)) throw unknownSetting(variable, variable, [...known]);
  }
}

function unknownSetting(setting: string, source: string, known: readonly string[]): SettingsError {
  return new SettingsError(setting, `${source} is not a setting; settings are ${known.join(', ')}`);
}

function checkTogether(settings: Settings): void {
  if (!isLoopback(settings.host) && settings.apiToken === undefined) {
    throw new SettingsError(
      'host',
      `--host: ${JSON.stringify(settings.host)} is not allowed without --api-token (TIDEGATE_API_TOKEN), ` +
        'since anybody on the network could call; allowed: a loopback address, or a token',
    );
  }
  if (settings.hubToken !== undefined && settings.hub === undefined) {
    throw new SettingsError('hub-token', '--hub-token is set, but --hub is not; allowed: both or none');
  }
}
