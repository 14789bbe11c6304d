// Memory that was freed goes back to the system: glibc keeps what lies between blocks in use, so an executor that let one of its
// graphs go would stay as large as it was, and grow with each that comes and goes. Elsewhere, and where koffi can't load,
// nothing happens.
import type { LibraryHandle } from 'koffi';

type Native = ReturnType<LibraryHandle['func']>;

let trim: Promise<Native | undefined> | undefined;

/** On a thread of libuv's pool: it looks through all of the heap. */
export async function trimMemory(): Promise<void> {
  trim ??= mallocTrim();
  const call = await trim;
  if (call !== undefined) await new Promise<void>((resolve) => call.async(0, () => resolve()));
}

async function mallocTrim(): Promise<Native | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const { default: koffi } = await import('koffi');
    return koffi.load('libc.so.6').func('int malloc_trim(size_t pad)');
  } catch {
    return undefined; // another C library: its own way with memory
  }
}
