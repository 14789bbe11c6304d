// Why a model package can't be opened, said so that its author can mend it: the file, the line and the field.

import { resolve } from 'node:path';

type PackageErrorCode =
  | 'not-found' // nothing at the path, or a file that the package names is missing
  | 'not-a-package' // a path that is neither a package folder, an .onnx file nor a model repository
  | 'invalid-yaml' // model.yaml can't be parsed
  | 'invalid-model' // model.yaml says something wrong; `field` names it
  | 'invalid-goldens' // the goldens file says something wrong
  | 'invalid-file' // a file that may not be in a package: symbolic link, socket, odd path
  | 'too-large'; // a limit was passed

/** Where in the package the mistake is. `field` as `pipeline.2.inputs.0`; `line` counts from 1. */
interface PackageErrorPlace {
  readonly file?: string;
  readonly line?: number;
  readonly field?: string;
}

export class PackageError extends Error {
  override readonly name = 'PackageError';
  readonly code: PackageErrorCode;
  readonly place: PackageErrorPlace;
  readonly #text: string;
  constructor(
    code: PackageErrorCode,
    message: string,
    place: PackageErrorPlace = {},
    options: { cause?: unknown } = {},
  ) {
    super(withPlace(message, place), options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.place = place;
    this.#text = message;
  }

  /** The same of the package in `folder`: where there are several, `model.yaml` says too little. */
  inside(folder: string): PackageError {
    const file = resolve(folder, this.place.file ?? ''); // of a bare graph it is absolute already
    return new PackageError(this.code, this.#text, { ...this.place, file }, { cause: this });
  }
}

function withPlace(message: string, { file, line, field }: PackageErrorPlace): string {
  const where = [file, line === undefined ? undefined : `line ${line}`].filter((part) => part !== undefined).join(', ');
  const what = field === undefined || field === '' ? message : `${field}: ${message}`;
  return where === '' ? what : `${where}: ${what}`;
}
