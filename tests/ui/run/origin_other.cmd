train specs/iris.dl -o ../runs/base -q --device cpu
train specs/tune.dl -o runs/tune -q --device cpu
