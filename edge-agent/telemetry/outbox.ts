// Telemetry on its way to the hub: durable, so that an outage loses nothing, and bounded in bytes, so that a long one fills no
// disk (field lesson B6). Over the bound it drops by priority, then age, and counts what it dropped. A record leaves when the
// hub acknowledged its sequence number, and the space it took goes back to the file system.
import { telemetryRecordSchema, type TelemetryRecord } from '@tidegate/shared/wire/telemetry.js';
import type { Documents } from '../state/documents.js';
import { parseDocument } from '../state/documents.js';
import type { OutboxTable } from '../state/outbox-table.js';

const DEFAULT_OUTBOX_BYTES = 8 * 1024 * 1024;
/** After dropping, so much of the bound is filled: a full outbox does not drop at every single record. */
const FILLED_AFTER_DROP = 0.9;
/** A drain of this many records is worth returning pages for. */
const SHRINK_AFTER_RECORDS = 64;

/** Larger is dropped later: what an operator has to hear outlives figures. */
const PRIORITY = { figures: 0, events: 1 } as const;

export class Outbox {
  readonly #table: OutboxTable;
  readonly #documents: Documents;
  readonly #limitBytes: number;
  #removedSinceShrink = 0;

  constructor(modules: { table: OutboxTable; documents: Documents }, limitBytes = DEFAULT_OUTBOX_BYTES) {
    this.#table = modules.table;
    this.#documents = modules.documents;
    this.#limitBytes = limitBytes;
  }

  /** Records dropped in this device's life. */
  get droppedCount(): number {
    return this.#documents.counter('telemetry-dropped');
  }

  size(): { readonly bytes: number; readonly count: number } {
    return this.#table.size();
  }

  /** Gives the record its number and stores it; on disk when this returns. Throws StateError `full`; nothing is stored then. */
  add(record: Omit<TelemetryRecord, 'seq'>): TelemetryRecord {
    const numbered = { ...record, seq: this.#documents.increment('telemetry-seq') };
    const document = JSON.stringify(numbered);
    const priority = record.events.length > 0 ? PRIORITY.events : PRIORITY.figures;
    this.#table.add({ seq: numbered.seq, priority, sizeBytes: Buffer.byteLength(document), document });
    if (this.#table.size().bytes > this.#limitBytes) {
      const dropped = this.#table.dropDownTo(this.#limitBytes * FILLED_AFTER_DROP);
      this.#documents.increment('telemetry-dropped', dropped);
    }
    return numbered;
  }

  /** Oldest first. A row that can't be read any more is removed and counted as dropped. */
  next(afterSeq: number, limit: number): readonly TelemetryRecord[] {
    const records: TelemetryRecord[] = [];
    for (const row of this.#table.next(afterSeq, limit)) {
      const record = parseDocument(row.document, telemetryRecordSchema);
      if (record !== undefined) records.push(record);
      else if (this.#table.remove(row.seq)) this.#documents.increment('telemetry-dropped');
    }
    return records;
  }

  /** The hub has the record. Once more for the same number changes nothing. */
  acknowledge(seq: number): void {
    if (!this.#table.remove(seq)) return;
    this.#removedSinceShrink += 1;
    if (this.#removedSinceShrink < SHRINK_AFTER_RECORDS || this.#table.size().count > 0) return;
    this.#table.shrink();
    this.#removedSinceShrink = 0;
  }
}
