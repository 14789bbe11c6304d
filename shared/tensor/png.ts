// Pixels as a PNG (third edition of the specification): 8 bits a channel, rows without a filter.
import { promisify } from 'node:util';
import { crc32, deflate, deflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
type Channels = 1 | 3 | 4;
const PNG_COLOUR = { 1: 0, 3: 2, 4: 6 } as const; // grey, RGB, RGBA

/** `pixels`: rows from the top, channels interleaved. The same pixels give the same bytes with the same zlib. */
export function encodePng(width: number, height: number, channels: Channels, pixels: Uint8Array): Uint8Array {
  return assemble(width, height, channels, deflateSync(filteredRows(width, height, channels, pixels)));
}

/** The same, compressed on a thread of zlib's: a large picture takes most of a second, in which a server would answer nobody. */
export async function encodePngAside(
  width: number,
  height: number,
  channels: Channels,
  pixels: Uint8Array,
): Promise<Uint8Array> {
  return assemble(width, height, channels, await deflateAside(filteredRows(width, height, channels, pixels)));
}

const deflateAside = promisify<Uint8Array, Buffer>(deflate);

function filteredRows(width: number, height: number, channels: Channels, pixels: Uint8Array): Uint8Array {
  const rowBytes = width * channels;
  const rows = Buffer.alloc(height * (rowBytes + 1)); // each begins with its filter: 0
  for (let y = 0; y < height; y += 1) {
    rows.set(pixels.subarray(y * rowBytes, (y + 1) * rowBytes), y * (rowBytes + 1) + 1);
  }
  return rows;
}

function assemble(width: number, height: number, channels: Channels, data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, PNG_COLOUR[channels], 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    pngChunk('IHDR', header),
    pngChunk('IDAT', data),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const chunk = Buffer.alloc(body.byteLength + 8);
  chunk.writeUInt32BE(data.byteLength, 0);
  chunk.set(body, 4);
  chunk.writeUInt32BE(crc32(body), body.byteLength + 4);
  return chunk;
}
