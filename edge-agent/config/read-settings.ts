// The agent's settings from flags, environment and file, and what must hold between them: pure.
import { isIP } from 'node:net';
import { readSettings, SettingsError, type SettingsSources } from '@tidegate/shared/system/settings.js';
import { SETTINGS, type Settings } from './settings-table.js';

/** Variables of the other programs, which may share an environment with the agent. */
const FOREIGN_VARIABLES = [
  'TIDEGATE_CONFIG',
  'TIDEGATE_CONFIG_DIR',
  'TIDEGATE_URL',
  'TIDEGATE_TOKEN',
  'TIDEGATE_ENROL_TOKEN',
];

/** Throws SettingsError. */
export function readAgentSettings(sources: Omit<SettingsSources, 'foreignVariables'>): Settings {
  const settings = readSettings(SETTINGS, { ...sources, foreignVariables: FOREIGN_VARIABLES });
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
  return settings;
}

/** Is the host this machine itself, so that only who is on it can call? */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1' || host === '[::1]') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
