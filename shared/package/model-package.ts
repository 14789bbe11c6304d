// A model package in the hand: its parsed model.yaml, where its files lie, and what identifies it (contract.md, Model
// package; decisions.md, Identity of things). Opening one reads and hashes; nothing of it is executed.
import type { TensorSpec } from '../tensor/tensor.js';
import type { Digest } from '../wire/digest.js';
import type { FileEntry } from '../wire/manifest.js';
import type { ModelYaml } from '../wire/model-yaml.js';

/** The inputs and outputs that an .onnx file declares, and the files beside it that hold its weights. */
export interface GraphSignature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Paths of external data, relative to the .onnx file's folder. */
  readonly externalData?: readonly string[];
}

export interface ModelPackage {
  /** As written, or derived from the graph where there is only an .onnx file. */
  readonly yaml: ModelYaml;
  /** False where `yaml` was derived: then it is no file of the package. */
  readonly hasYaml: boolean;
  /** Absolute folder that the paths of `files` are relative to. */
  readonly folder: string;
  /** Every file, sorted by path. */
  readonly files: readonly FileEntry[];
  /** How each file lay before it was hashed (`lieOf`), by path. */
  readonly lies: ReadonlyMap<string, string>;
  /** Digest of the version manifest over `files`. */
  readonly versionDigest: Digest;
  /** A file's content; rejects with PackageError `not-found` where the package has no such file. */
  read(path: string): Promise<Uint8Array>;
  /** Absolute path of a file of the package; throws PackageError `not-found`. */
  pathOf(path: string): string;
}
