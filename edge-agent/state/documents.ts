// Single documents and counters of the agent, by key: the desired state last acted on, report and telemetry sequence
// numbers, whether the agent was stopped cleanly (trusted time has its own file, shared/tuf). A value that does not parse (a flipped bit that SQLite's
// check can't see) reads as absent: each of them comes back from the hub or starts anew.
import type { z } from 'zod';
import { desiredStateSchema, type DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { SqliteDatabase } from './open-database.js';
import { writing } from './state-error.js';

type CounterName = 'report-seq' | 'telemetry-seq' | 'telemetry-dropped';

export class Documents {
  readonly #read;
  readonly #write;
  readonly #increment;

  constructor(database: SqliteDatabase) {
    this.#read = database.prepare<[string], { value: string }>('SELECT value FROM documents WHERE key = ?');
    this.#write = database.prepare<[string, string]>(
      'INSERT INTO documents (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    );
    this.#increment = database.prepare<[string, string, number], { value: string }>(
      `INSERT INTO documents (key, value) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + ? AS TEXT) RETURNING value`,
    );
  }

  desired(): DesiredState | undefined {
    return this.#parsed('desired', desiredStateSchema);
  }

  saveDesired(desired: DesiredState): void {
    writing('desired state', () => this.#write.run('desired', JSON.stringify(desired)));
  }

  counter(name: CounterName): number {
    const value = Number(this.#read.get(name)?.value ?? 0);
    return Number.isSafeInteger(value) && value >= 0 ? value : 0;
  }

  /** Adds `by` and returns the new value; it is on disk when this returns. */
  increment(name: CounterName, by = 1): number {
    return writing(name, () => Number(this.#increment.get(name, String(by), by)?.value));
  }

  /** Raises a counter to at least `value`: a rebuilt database must not count from zero again under the hub's eyes. */
  raise(name: CounterName, value: number): void {
    if (value > this.counter(name)) writing(name, () => this.#write.run(name, String(value)));
  }

  /** True once after a start that follows a clean stop; then false until the next clean stop. */
  takeCleanStop(): boolean {
    const clean = this.#read.get('clean-stop')?.value === 'yes';
    if (clean) writing('clean stop', () => this.#write.run('clean-stop', 'no'));
    return clean;
  }

  markCleanStop(): void {
    writing('clean stop', () => this.#write.run('clean-stop', 'yes'));
  }

  #parsed<T>(key: string, schema: z.ZodType<T>): T | undefined {
    const text = this.#read.get(key)?.value;
    return text === undefined ? undefined : parseDocument(text, schema);
  }
}

/** Undefined where the text is not JSON of that shape. */
export function parseDocument<T>(text: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined; // damaged: the caller treats it as absent, state is rebuilt from signed files and the hub
  }
}
