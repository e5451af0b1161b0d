train specs/attack.dl -o runs/attack -q
export runs/attack --procedure attack -o attack.onnx
