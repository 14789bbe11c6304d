// The settings as they may be shown: those marked as secret only by whether they are set. Pure.
import { SETTING_NAMES, SETTINGS, type Settings } from '../config/settings-table.js';
import { flagName, type Setting } from '@tidegate/shared/system/settings.js';

/** By flag, as the `--config` file writes them. */
export function shownSettings(settings: Settings): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    SETTING_NAMES.map((name) => {
      const value = settings[name];
      const { secret }: Setting<unknown> = SETTINGS[name];
      return [flagName(name), secret === true && value !== undefined ? '(set, hidden)' : (value ?? null)];
    }),
  );
}

/** The values of the secret settings, to be taken out of everything else. */
export function secretValues(settings: Settings): string[] {
  return SETTING_NAMES.flatMap((name) => {
    const { secret }: Setting<unknown> = SETTINGS[name];
    const value = settings[name];
    return secret === true && typeof value === 'string' ? [value] : [];
  });
}
