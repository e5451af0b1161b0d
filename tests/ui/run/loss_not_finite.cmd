train specs/explodes.dl -o runs/explodes -q --device cpu
