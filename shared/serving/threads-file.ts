// How many threads suit each model on this machine, as `--threads auto` has measured it, in a file of the data folder: the next start
// loads each model once. A plain file, written whole and seldom. Where it is damaged or gone, can't be read or written, or another
// release or another processor wrote it, models are measured anew.
import { cpus } from 'node:os';
import { z } from 'zod';
import type { Files } from '../system/files.js';
import type { Log } from '../system/log.js';
import type { ThreadsChoice } from './choose-threads.js';
import type { KeptThreads } from './measured-threads.js';

const BYTES_MAX = 1 << 20;
/** Models, the ones measured first go first. */
const CHOICES_MAX = 256;

const threadsSchema = z.int().min(1).max(1024);
const documentSchema = z.strictObject({
  release: z.string(),
  processor: z.string(),
  choices: z.record(
    z.string(),
    z.strictObject({
      threads: threadsSchema,
      reason: z.string().max(500),
      measured: z.array(z.strictObject({ threads: threadsSchema, runMs: z.number().nonnegative() })).max(16),
      measuredAtMs: z.number().optional(),
    }),
  ),
});

interface ThreadsFileOptions {
  readonly path: string;
  readonly release: string;
  /** What computes here; of other ones it is not known. */
  readonly processor?: string;
}

interface ThreadsFileModules {
  readonly files: Pick<Files, 'read' | 'sizeBytes' | 'writeAtomic'>;
  readonly log: Log;
}

export class ThreadsFile implements KeptThreads {
  readonly #options: Required<ThreadsFileOptions>;
  readonly #modules: ThreadsFileModules;
  #choices: Promise<Map<string, ThreadsChoice>> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: ThreadsFileOptions, modules: ThreadsFileModules) {
    this.#options = { processor: `${process.arch} ${cpus()[0]?.model ?? ''}`, ...options };
    this.#modules = modules;
  }

  async find(key: string): Promise<ThreadsChoice | undefined> {
    return (await this.#read()).get(key);
  }

  /** Settles when it is on disk, or the log says why it isn't. */
  async keep(key: string, choice: ThreadsChoice): Promise<void> {
    const choices = await this.#read();
    choices.delete(key);
    choices.set(key, choice);
    for (const oldest of choices.keys()) if (choices.size > CHOICES_MAX) choices.delete(oldest);
    this.#writing = this.#writing.then(() => this.#write(choices));
    await this.#writing;
  }

  #read(): Promise<Map<string, ThreadsChoice>> {
    this.#choices ??= this.#readFile().catch((error: unknown) => {
      this.#modules.log.warn({ error: String(error) }, 'which threads suit models could not be read: measured anew');
      return new Map<string, ThreadsChoice>();
    });
    return this.#choices;
  }

  async #readFile(): Promise<Map<string, ThreadsChoice>> {
    const { path, release, processor } = this.#options;
    const { files } = this.#modules;
    const sizeBytes = await files.sizeBytes('threads.read', path);
    if (sizeBytes === undefined || sizeBytes > BYTES_MAX) return new Map();
    const document = parsed(Buffer.from(await files.read('threads.read', path)).toString('utf8'));
    const ours = document?.release === release && document.processor === processor;
    return new Map(ours ? Object.entries(document.choices) : []);
  }

  async #write(choices: ReadonlyMap<string, ThreadsChoice>): Promise<void> {
    const { path, release, processor } = this.#options;
    const document = { release, processor, choices: Object.fromEntries(choices) };
    try {
      await this.#modules.files.writeAtomic('threads.write', path, `${JSON.stringify(document)}\n`);
    } catch (error) {
      this.#modules.log.warn({ error: String(error) }, 'which threads suit models could not be stored');
    }
  }
}

/** Undefined where it is not such a document. */
function parsed(text: string): z.infer<typeof documentSchema> | undefined {
  try {
    return documentSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // damaged: as if it weren't there
  }
}
