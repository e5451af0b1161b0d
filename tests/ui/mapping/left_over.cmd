compile specs/two.dl --to onnx -o two.onnx --weights specs/two.safetensors --map specs/left_over.map
