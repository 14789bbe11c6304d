// Triton's logging extension (extension_logging.md) over one log level. Its switches are independent, a level is not: a
// setting that no level means (information without warnings) is refused, as are files and formats, which the command line
// decides.
import { invalid } from './http/invalid.js';

type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** A log whose level can be changed while it runs; pino's is one. */
export interface LogControl {
  level: string;
}

export interface LogSettings {
  readonly log_file: string;
  readonly log_info: boolean;
  readonly log_warning: boolean;
  readonly log_error: boolean;
  readonly log_verbose_level: number;
  readonly log_format: string;
}

/** Least severe first; what is written at a level is it and all after it. */
const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

export function logSettings(level: string): LogSettings {
  const at = LEVELS.indexOf(level as LogLevel);
  const writes = (wanted: LogLevel): boolean => at <= LEVELS.indexOf(wanted);
  return {
    log_file: '',
    log_info: writes('info'),
    log_warning: writes('warn'),
    log_error: writes('error'),
    log_verbose_level: writes('debug') ? 1 : 0,
    log_format: 'default',
  };
}

/** The level that the settings mean after the update. Throws ServingError `invalid-argument` naming the setting. */
export function changedLevel(level: string, update: Readonly<Record<string, unknown>>): LogLevel {
  const settings: Record<string, unknown> = { ...logSettings(level) };
  for (const [name, value] of Object.entries(update)) {
    if (!Object.hasOwn(settings, name)) throw invalid(name, 'no such log setting');
    const before = settings[name];
    if (value === null || value === before) continue;
    if (name === 'log_file' || name === 'log_format') {
      throw invalid(name, `can't be changed while the server runs; it is ${JSON.stringify(before)}`);
    }
    const fits =
      name === 'log_verbose_level' ? Number.isSafeInteger(value) && Number(value) >= 0 : typeof value === 'boolean';
    if (!fits) throw invalid(name, `got ${JSON.stringify(value)}`);
    settings[name] = value;
  }
  if (Number(settings['log_verbose_level']) > 0) {
    if (settings['log_info'] === false) throw invalid('log_verbose_level', 'verbose lines need log_info');
    settings['log_verbose_level'] = 1;
  }
  const found = LEVELS.find((candidate) => {
    const { log_info, log_warning, log_error, log_verbose_level } = logSettings(candidate);
    return (
      log_info === settings['log_info'] &&
      log_warning === settings['log_warning'] &&
      log_error === settings['log_error'] &&
      log_verbose_level === settings['log_verbose_level']
    );
  });
  if (found !== undefined) return found;
  throw invalid('log_info', 'who writes information writes warnings and errors too, and who writes warnings errors');
}
