run model.onnx --in x=[1]
