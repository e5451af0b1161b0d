train specs/iris.dl -o runs/iris -q
