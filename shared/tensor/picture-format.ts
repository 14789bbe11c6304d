// Which encoded picture bytes are, told by their first ones and never by a name. Pictures are untrusted: what is none of these three is
// handed to no decoder and shown to nobody as a picture.

export type PictureFormat = 'jpeg' | 'png' | 'webp';

/** JPEG's SOI marker, PNG's signature, RIFF....WEBP; undefined for anything else. */
export function pictureFormat(encoded: Uint8Array): PictureFormat | undefined {
  const starts = (at: number, bytes: readonly number[]): boolean => bytes.every((byte, i) => encoded[at + i] === byte);
  if (starts(0, [0xff, 0xd8, 0xff])) return 'jpeg';
  if (starts(0, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return 'png';
  if (starts(0, [0x52, 0x49, 0x46, 0x46]) && starts(8, [0x57, 0x45, 0x42, 0x50])) return 'webp';
  return undefined;
}
