// Triton's trace and logging extensions as messages (TraceSettingRequest, LogSettingsRequest): maps of settings, whose meaning and
// refusals are those of HTTP. A request without settings only asks.
import type { InferenceService } from '../inference-service.js';
import { changedLevel, logSettings, type LogControl } from '../log-settings.js';
import { traceSettings } from '../trace-settings.js';
import { ProtoReader } from './proto-reader.js';
import type { ProtoWriter } from './proto-writer.js';

interface SettingsRequest {
  readonly settings: Record<string, unknown>;
  readonly model: string;
}

/** Throws ServingError: `not-found` for an unknown model, `invalid-argument` for anything but the settings as they are. */
export function writeTraceSettings(writer: ProtoWriter, message: Buffer, service: InferenceService): void {
  const { settings, model } = readSettings(message, texts);
  if (model !== '') service.metadata(model, undefined);
  for (const [name, value] of Object.entries(traceSettings(settings))) {
    writeEntry(writer, name, () => {
      for (const text of typeof value === 'string' ? [value] : value) writer.givenString(1, text);
    });
  }
}

/** Changes the level where the message has settings. Throws ServingError `invalid-argument` naming the setting. */
export function writeLogSettings(writer: ProtoWriter, message: Buffer, control: LogControl): void {
  const { settings } = readSettings(message, choice);
  control.level = changedLevel(control.level, settings);
  for (const [name, value] of Object.entries(logSettings(control.level)) as [string, string | number | boolean][]) {
    writeEntry(writer, name, () => {
      if (typeof value === 'boolean') writer.givenBool(1, value);
      else if (typeof value === 'number') writer.givenInteger(2, value);
      else writer.givenString(3, value);
    });
  }
}

function writeEntry(writer: ProtoWriter, name: string, write: () => void): void {
  writer.message(1, () => {
    writer.string(1, name);
    writer.message(2, write);
  });
}

function readSettings(message: Buffer, valueOf: (reader: ProtoReader) => unknown): SettingsRequest {
  const reader = new ProtoReader(message);
  const settings: Record<string, unknown> = {};
  let model = '';
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) {
      const entry = reader.message();
      let name = '';
      let value: unknown = null;
      for (let part = entry.next(); part !== 0; part = entry.next()) {
        if (part === 1) name = entry.string();
        else if (part === 2) value = valueOf(entry.message());
        else entry.skip();
      }
      Object.defineProperty(settings, name, { value, enumerable: true, configurable: true });
    } else if (field === 2) model = reader.string();
    else reader.skip();
  }
  return { settings, model };
}

/** Of a trace setting; none at all is null: as it was. */
function texts(reader: ProtoReader): readonly string[] | null {
  const found: string[] = [];
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) found.push(reader.string());
    else reader.skip();
  }
  return found.length === 0 ? null : found;
}

/** Of a log setting: a boolean, a number or a text. */
function choice(reader: ProtoReader): unknown {
  let value: unknown = null;
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) value = reader.bool();
    else if (field === 2) value = Number(reader.uint64());
    else if (field === 3) value = reader.string();
    else reader.skip();
  }
  return value;
}
