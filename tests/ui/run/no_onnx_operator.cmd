compile specs/factors.dl --to onnx -o model.onnx
