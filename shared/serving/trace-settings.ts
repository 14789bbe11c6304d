// Triton's trace extension (extension_trace.md). This server writes no trace files (what it knows of a request is in the answer,
// at /agent/v1/explain and in OpenTelemetry's traces, which are set up at the start), and says so: the settings are Triton's for "off", and turning anything on is refused.
import { invalid } from './http/invalid.js';

const OFF: Readonly<Record<string, string | readonly string[]>> = {
  trace_level: ['OFF'],
  trace_rate: '1000',
  trace_count: '-1',
  log_frequency: '0',
  trace_file: '',
  trace_mode: 'triton',
};

/** The settings after the update, which are those before. Throws ServingError `invalid-argument` for any other wish. */
export function traceSettings(update: Readonly<Record<string, unknown>> = {}): typeof OFF {
  for (const [name, value] of Object.entries(update)) {
    const is = OFF[name];
    if (is === undefined) throw invalid(name, 'no such trace setting');
    if (value === null || sameSetting(value, is)) continue;
    throw invalid(name, `tracing is not offered; the setting stays ${JSON.stringify(is)}`);
  }
  return OFF;
}

/** Clients send numbers as text or not, and one level with or without a list. */
function sameSetting(value: unknown, is: string | readonly string[]): boolean {
  const text = (given: unknown): string => JSON.stringify(Array.isArray(given) ? given.map(String) : [String(given)]);
  return text(value) === text(is);
}
