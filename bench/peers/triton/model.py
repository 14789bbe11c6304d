"""Triton's Python backend calling ONNX Runtime on one thread, as its documentation's examples do: numpy in, numpy out."""

import json

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = config["parameters"]["model"]["string_value"]
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name

    def execute(self, requests):
        answers = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, self.input).as_numpy()
            (result,) = self.session.run([self.output], {self.input: values})
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor(self.output, result)]))
        return answers
