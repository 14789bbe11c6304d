// Names of what a step graph is fed and answers (cloud-hub/training/step-graph makes it; a loop here runs it).

export interface StepNames {
  readonly feeds: {
    /** The model's own inputs, each [N, ...]. */
    readonly inputs: readonly string[];
    /** INT64 [N] for cross-entropy, FP32 [N, K] for mean squared error. */
    readonly labels: string;
    /** FLOAT scalar. */
    readonly learningRate: string;
    /** INT64 scalar, 1 for the first update. */
    readonly step: string;
    /** BOOL scalar: update now, with all that was accumulated. Absent where each batch is an update. */
    readonly apply?: string;
  };
  readonly outputs: {
    /** FLOAT scalar: the batch's mean loss. */
    readonly loss: string;
    /** INT64 scalar: right answers; absent where the loss knows none. */
    readonly right?: string;
    /** FLOAT scalar: the gradients' norm before clipping. */
    readonly norm: string;
  };
}
