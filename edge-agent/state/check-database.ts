// Is the state database sound? Asked by `doctor`, beside a running agent or without one; never repairs and never migrates.
import { existsSync } from 'node:fs';
import { openToRead, type SqliteDatabase } from './open-database.js';

type DatabaseHealth =
  { readonly state: 'none' | 'sound' | 'in-use' } | { readonly state: 'broken'; readonly reason: string };

/** `in-use`: an agent has it open, which checked it when it started. */
export function checkDatabase(path: string): DatabaseHealth {
  if (!existsSync(path)) return { state: 'none' };
  let database: SqliteDatabase | undefined;
  try {
    database = openToRead(path);
    const found = database.pragma('integrity_check(1)', { simple: true });
    return found === 'ok' ? { state: 'sound' } : { state: 'broken', reason: String(found) };
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (typeof code === 'string' && code.startsWith('SQLITE_BUSY')) return { state: 'in-use' };
    return { state: 'broken', reason: error instanceof Error ? error.message : String(error) };
  } finally {
    database?.close();
  }
}
