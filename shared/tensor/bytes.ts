// BYTES elements in their binary form: a little-endian u32 length, then the bytes, element after element
// (Triton's binary data extension).

/** Encodes elements one after the other. */
export function encodeBytes(elements: readonly Uint8Array[]): Uint8Array {
  const total = elements.reduce((sum, element) => sum + 4 + element.byteLength, 0);
  const out = new Uint8Array(total);
  const view = new DataView(out.buffer);
  let at = 0;
  for (const element of elements) {
    view.setUint32(at, element.byteLength, true);
    out.set(element, at + 4);
    at += 4 + element.byteLength;
  }
  return out;
}

/** The elements as views of `data`; undefined where a length runs past the end. */
export function decodeBytes(data: Uint8Array): Uint8Array[] | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const elements: Uint8Array[] = [];
  let at = 0;
  while (at < data.byteLength) {
    if (at + 4 > data.byteLength) return undefined;
    const length = view.getUint32(at, true);
    if (at + 4 + length > data.byteLength) return undefined;
    elements.push(data.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return elements;
}

/** Number of elements in a BYTES tensor, without making them; undefined where a length runs past the end. */
export function countBytes(data: Uint8Array): number | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let count = 0;
  let at = 0;
  while (at < data.byteLength) {
    if (at + 4 > data.byteLength) return undefined;
    at += 4 + view.getUint32(at, true);
    if (at > data.byteLength) return undefined;
    count++;
  }
  return count;
}
