// What a rule sees of the node that it differentiates, and what it gives back.
import type { NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { floatsOf } from '@tidegate/shared/onnx/tensor-data.js';
import type { GradientBuilder } from './gradient-builder.js';
import { GradientError } from './gradient-error.js';

/** Gradients of a node's inputs by position; absent where an input has none (indices, shapes) or none is wanted. */
export type InputGradients = readonly (string | undefined)[];

export interface GradientRule {
  /** Throws GradientError for a form of the operator that the rule does not cover. Runs before any node is made. */
  readonly check?: (node: RuleNode) => void;
  readonly backward: (b: GradientBuilder, node: RuleNode, dY: string, ofOutputs: readonly string[]) => InputGradients;
  /** Has it a gradient for every output, `ofOutputs`? Else only for the first, dY, and no other may reach the loss. */
  readonly takesEveryOutput?: boolean;
  /**
   * The node as it runs in the graph that is differentiated, where the rule needs more of it than its first output; what the node
   * no longer gives as it did is appended to the builder. Runs after all checks.
   */
  readonly forward?: (b: GradientBuilder, node: RuleNode) => NodeProto;
}

/** What is known of the graph's values. */
interface GraphValues {
  /** Those that a parameter reaches. */
  readonly wanted: ReadonlySet<string>;
  readonly initializers: ReadonlyMap<string, TensorProto>;
}

export class RuleNode {
  readonly node: NodeProto;
  readonly where: string;
  readonly #values: GraphValues;

  constructor(node: NodeProto, where: string, values: GraphValues) {
    this.node = node;
    this.where = where;
    this.#values = values;
  }

  /** The same place in the graph, taken by another node. */
  as(node: NodeProto): RuleNode {
    return new RuleNode(node, this.where, this.#values);
  }

  /** An input that must be there. */
  x(index: number): string {
    const name = this.node.input[index];
    if (!name) throw new GradientError('bad-graph', `input ${index} is missing`, this.where);
    return name;
  }

  has(index: number): boolean {
    return Boolean(this.node.input[index]);
  }

  /** Does a parameter reach this input? */
  wants(index: number): boolean {
    return this.has(index) && this.#values.wanted.has(this.x(index));
  }

  /** Elements of a FLOAT input, where an initializer states them. */
  stated(index: number): Float32Array | undefined {
    const tensor = this.#values.initializers.get(this.node.input[index] ?? '');
    return tensor === undefined ? undefined : floatsOf(tensor, this.where);
  }

  y(index = 0): string {
    return this.node.output[index] ?? '';
  }

  int(name: string, fallback: number): number {
    const value = this.node.attribute.find((a) => a.name === name)?.i;
    return value === undefined ? fallback : Number(value);
  }

  float(name: string, fallback: number): number {
    return this.node.attribute.find((a) => a.name === name)?.f ?? fallback;
  }

  ints(name: string): number[] | undefined {
    const found = this.node.attribute.find((a) => a.name === name);
    return found === undefined ? undefined : Array.from(found.ints, Number);
  }

  string(name: string, fallback: string): string {
    const value = this.node.attribute.find((a) => a.name === name)?.s;
    return value === undefined ? fallback : Buffer.from(value).toString();
  }

  /** The form is not covered. */
  refuse(what: string): never {
    throw new GradientError('no-gradient', `${this.node.opType ?? ''} with ${what} has no gradient`, this.where);
  }
}
