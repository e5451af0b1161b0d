compile specs/two.dl --to onnx -o two.onnx --weights specs/two.map --map specs/two.map
