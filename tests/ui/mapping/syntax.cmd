compile specs/two.dl --to onnx -o two.onnx --weights specs/two.safetensors --map specs/syntax.map
