train specs/tune.dl -o runs/tune -q --device cpu
