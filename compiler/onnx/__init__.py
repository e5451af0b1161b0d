"""The ONNX target: graphs as a ModelProto, written directly and never traced."""
