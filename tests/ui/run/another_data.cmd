train specs/line.dl -o runs/line -q --device cpu
eval runs/line --device cpu
