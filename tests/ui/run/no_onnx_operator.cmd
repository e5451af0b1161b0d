compile specs/inverse.dl --to onnx -o model.onnx
